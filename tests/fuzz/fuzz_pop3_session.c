/*
 * Any commands to a POP3 session over three messages that are gone: they
 * exercise numbers and states, and no file is needed.
 */
#include <assert.h>

#include "popd/pop3.h"
#include "tests/fuzz/fuzz.h"

static struct view input;

static ssize_t read_input(struct in *in, void *to, size_t size)
{
	struct view piece = view_first(input, size);

	(void)in;
	if (piece.len)
		memcpy(to, piece.p, piece.len);
	input = view_from(input, piece.len);
	return (ssize_t)piece.len;
}

static ssize_t check_output(struct out *out, const void *from, size_t size)
{
	(void)out;
	assert(!view_has(view_make(from, size), '\0'));
	return (ssize_t)size;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static char names[] = "1.a\0002.b,S=1,W=2:2,S\0003.c";
	struct message messages[] = {
		{ .name = 0, .gone = true },
		{ .name = 4, .sized = true, .octets = 5 },
		{ .name = 20, .sized = true, .gone = true },
	};
	struct maildrop drop = {
		.fd = -1,
		.new_fd = -1,
		.cur_fd = -1,
		.names = { .p = names, .len = sizeof(names) },
		.messages = messages,
		.count = COUNT_OF(messages),
	};
	struct pop3 pop3;

	input = view_make(bytes, size);
	pop3_init(&pop3, &drop);
	pop3.in.fd = pop3.out.fd = -1;
	pop3.in.timeout_ms = 0;
	pop3.in.read = read_input;
	pop3.out.write = check_output;
	pop3_serve(&pop3);
	assert(drop.count == 3 && messages[0].gone && messages[2].gone);
	pop3_free(&pop3);
	return 0;
}
