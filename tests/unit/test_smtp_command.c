/* Taking apart what SMTP clients say; counting hops; the Received field. */
#include "smtpd/command.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "smtpd/hops.h"
#include "smtpd/received.h"

static void test_verbs_are_known_in_any_case(void **s)
{
	static const struct {
		const char *line;
		enum verb verb;
		const char *arg;
	} cases[] = {
		{ "EHLO host", VERB_EHLO, "host" },
		{ "helo", VERB_HELO, "" },
		{ "mAiL  FROM:<a@b> ", VERB_MAIL, "FROM:<a@b>" },
		{ "DATA", VERB_DATA, "" },
		{ "DATAX", VERB_UNKNOWN, "" },
		{ "", VERB_UNKNOWN, "" },
		{ "TURN", VERB_UNIMPLEMENTED, "" },
		{ "soml FROM:<a@b>", VERB_UNIMPLEMENTED, "FROM:<a@b>" },
		{ "POST / HTTP/1.1", VERB_FOREIGN, "/ HTTP/1.1" },
		{ "Host: x", VERB_FOREIGN, "x" },
		{ "Subject:", VERB_FOREIGN, "" },
	};

	(void)s;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct command c = command_parse(view_of(cases[i].line));

		if (c.verb != cases[i].verb ||
		    !view_eq(c.arg, view_of(cases[i].arg)))
			fail_msg("%s", cases[i].line);
	}
}

static void test_paths_are_taken_leniently_unless_strict(void **s)
{
	static const struct {
		const char *arg;
		enum command_result lenient;
		enum command_result strict;
		const char *address;
		const char *parameters;
	} cases[] = {
		{ "FROM:<a@b>", COMMAND_OK, COMMAND_OK, "a@b", "" },
		{ "from:<>", COMMAND_OK, COMMAND_OK, "", "" },
		{ "FROM: <a@b>", COMMAND_OK, COMMAND_SYNTAX, "a@b", "" },
		{ "FROM : <a@b>", COMMAND_OK, COMMAND_SYNTAX, "a@b", "" },
		{ "FROM:a@b SIZE=1", COMMAND_OK, COMMAND_SYNTAX, "a@b",
		  "SIZE=1" },
		{ "FROM:<@x,@y:a@b>", COMMAND_OK, COMMAND_OK, "a@b", "" },
		{ "FROM:<\"a b\"@c>  SIZE=1 ", COMMAND_OK, COMMAND_OK, "a b@c",
		  "SIZE=1" },
		{ "FROM:<Postmaster>", COMMAND_OK, COMMAND_OK, "Postmaster",
		  "" },
		{ "FROM:<a@b>SIZE=1", COMMAND_ADDRESS, COMMAND_ADDRESS, "",
		  "" },
		{ "FROM:<a@>", COMMAND_ADDRESS, COMMAND_ADDRESS, "", "" },
		{ "FROM:<a@b", COMMAND_ADDRESS, COMMAND_ADDRESS, "", "" },
		{ "FROM:", COMMAND_ADDRESS, COMMAND_SYNTAX, "", "" },
		{ "FROM", COMMAND_SYNTAX, COMMAND_SYNTAX, "", "" },
		{ "", COMMAND_SYNTAX, COMMAND_SYNTAX, "", "" },
		{ "TO:<a@b>", COMMAND_SYNTAX, COMMAND_SYNTAX, "", "" },
	};

	(void)s;
	for (size_t i = 0; i < 2 * COUNT_OF(cases); i++) {
		bool strict = i % 2;
		enum command_result want =
			strict ? cases[i / 2].strict : cases[i / 2].lenient;
		struct str address = { 0 };
		struct view parameters;
		enum command_result got =
			command_path(view_of(cases[i / 2].arg), VIEW("FROM"),
				     strict, &address, &parameters);

		if (got != want)
			fail_msg("%s strict %d: %d", cases[i / 2].arg, strict,
				 (int)got);
		if (got == COMMAND_OK &&
		    (!view_eq(str_view(&address),
			      view_of(cases[i / 2].address)) ||
		     !view_eq(parameters, view_of(cases[i / 2].parameters))))
			fail_msg("%s strict %d", cases[i / 2].arg, strict);
		str_free(&address);
	}
}

static void test_mail_parameters_are_checked(void **s)
{
	static const struct {
		const char *text;
		enum command_result want;
		uint64_t size;
		const char *body;
	} cases[] = {
		{ "", COMMAND_OK, 0, "" },
		{ "SIZE=123", COMMAND_OK, 123, "" },
		{ "size=0 body=8bitmime", COMMAND_OK, 0, "8BITMIME" },
		{ "BODY=7BIT  SIZE=5", COMMAND_OK, 5, "7BIT" },
		{ "SIZE=99999999999999999999", COMMAND_OK, UINT64_MAX, "" },
		{ "SIZE=999999999999999999999", COMMAND_SYNTAX, 0, "" },
		{ "SIZE=", COMMAND_SYNTAX, 0, "" },
		{ "SIZE", COMMAND_SYNTAX, 0, "" },
		{ "SIZE=-1", COMMAND_SYNTAX, 0, "" },
		{ "SIZE=1 SIZE=1", COMMAND_SYNTAX, 0, "" },
		{ "BODY=BINARYMIME", COMMAND_SYNTAX, 0, "" },
		{ "BODY=", COMMAND_SYNTAX, 0, "" },
		{ "AUTH=<>", COMMAND_PARAMETER, 0, "" },
		{ "ENVID=+00", COMMAND_PARAMETER, 0, "" },
		{ "=", COMMAND_PARAMETER, 0, "" },
	};

	(void)s;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct mail_parameters mail;
		enum command_result got =
			command_mail_parameters(view_of(cases[i].text), &mail);

		if (got != cases[i].want)
			fail_msg("%s: %d", cases[i].text, (int)got);
		if (got == COMMAND_OK &&
		    (mail.size != cases[i].size ||
		     !view_eq(mail.body, view_of(cases[i].body))))
			fail_msg("%s", cases[i].text);
	}
}

static void test_hops_are_counted_in_the_header_only(void **s)
{
	struct view text = VIEW("Received: a\n b\nRECEIVED : c\n"
				"Received-SPF: no\nDelivered-To: x\n"
				"Delivered-Tox: x\n received: folded\n"
				"Subject: received: y\n\nReceived: body\n");

	(void)s;
	for (size_t size = 1; size <= text.len; size++) {
		struct hops hops;

		hops_init(&hops);
		for (size_t at = 0; at < text.len; at += size)
			hops_feed(&hops, view_first(view_from(text, at), size));
		assert_int_equal(hops.count, 3);
	}
}

static void test_received_shows_what_is_known_and_harmless(void **s)
{
	static const struct {
		struct received received;
		const char *want;
	} cases[] = {
		{ { .helo = { "x y\n", 4 },
		    .ip = { "1.2.3.4", 7 },
		    .by = { "h", 1 },
		    .protocol = { "SMTP", 4 } },
		  "Received: from unknown (HELO x?y?) (1.2.3.4)\n"
		  "  by h with SMTP; 1 Jan 1970 00:00:00 -0000\n" },
		{ { .host = { "Mail.example", 12 },
		    .helo = { "mail.Example", 12 },
		    .info = { "joe", 3 },
		    .protocol = { "ESMTP", 5 } },
		  "Received: from Mail.example (joe@unknown)\n"
		  "  by unknown with ESMTP; 1 Jan 1970 00:00:00 -0000\n" },
	};

	(void)s;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct str got = { 0 };

		received_format(&got, &cases[i].received, 0);
		assert_string_equal(str_c(&got), cases[i].want);
		str_free(&got);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verbs_are_known_in_any_case),
		cmocka_unit_test(test_paths_are_taken_leniently_unless_strict),
		cmocka_unit_test(test_mail_parameters_are_checked),
		cmocka_unit_test(test_hops_are_counted_in_the_header_only),
		cmocka_unit_test(
			test_received_shows_what_is_known_and_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
