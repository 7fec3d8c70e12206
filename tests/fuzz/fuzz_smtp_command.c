/* Any command line, both ways of reading it. */
#include <assert.h>

#include "lib/address.h"
#include "smtpd/command.h"
#include "smtpd/received.h"
#include "tests/fuzz/fuzz.h"

static void check_path(struct view arg, struct view keyword, bool strict)
{
	struct mail_parameters mail;
	struct str address = { 0 };
	struct view parameters;

	if (command_path(arg, keyword, strict, &address, &parameters) ==
	    COMMAND_OK) {
		assert(address.len <= ADDRESS_MAX_BYTES);
		assert(!view_has(str_view(&address), '\0'));
		assert(!view_has(str_view(&address), '\r'));
		assert(!view_has(str_view(&address), '\n'));
		if (command_mail_parameters(parameters, &mail) == COMMAND_OK)
			assert(mail.body.len <= 8);
	}
	str_free(&address);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct view line = view_make(bytes, size);
	struct command command = command_parse(line);
	struct received received = { .helo = command.arg,
				     .protocol = VIEW("SMTP") };
	struct str text = { 0 };
	size_t lines = 0;

	check_path(command.arg, VIEW("FROM"), false);
	check_path(command.arg, VIEW("FROM"), true);
	check_path(command.arg, VIEW("TO"), false);
	received_format(&text, &received, 0);
	for (size_t i = 0; i < text.len; i++)
		lines += text.p[i] == '\n';
	assert(lines == 2);
	str_free(&text);
	return 0;
}
