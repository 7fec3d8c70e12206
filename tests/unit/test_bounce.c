#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "lib/checksum.h"
#include "lib/record.h"
#include "send/bounce.h"

static struct config config = {
	.bounce_from = { 0 },
};
static struct rewrite rewrite;

static int set_up(void **state)
{
	struct control_list list = { 0 };

	(void)state;
	str_set_c(&config.bounce_from, "MAILER-DAEMON@here.example");
	str_set_c(&config.bounce_host, "here.example");
	str_set_c(&config.double_bounce_to, "postmaster@here.example");
	str_set_c(&rewrite.envnoathost, "here.example");
	control_list_parse(&list, VIEW("virt.example:owner\n"));
	namemap_build(&rewrite.virtualdomains, &list, true);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	config_free(&config);
	rewrite_free(&rewrite);
	return 0;
}

/* A parsed file without a file: envelope records alone. */
static struct qfile make_file(const char *sender, const char *const *rcpts,
			      size_t count)
{
	struct qfile file = { .fd = -1 };
	struct view rest;
	struct record record;

	record_append(&file.envelope, QFILE_SENDER, view_of(sender));
	for (size_t i = 0; i < count; i++)
		record_append(&file.envelope, QFILE_RECIPIENT,
			      view_of(rcpts[i]));
	rest = str_view(&file.envelope);
	assert_int_equal(record_next(&rest, &record), RECORD_OK);
	file.sender = record.value;
	return file;
}

static void add_report(struct str *reports, uint64_t recipient,
		       const char *text)
{
	struct str value = { 0 };
	char number[8];

	le64_write(number, recipient);
	str_append(&value, view_make(number, 8));
	str_append_c(&value, text);
	record_append(reports, 1, str_view(&value));
	str_free(&value);
}

static void expect(const struct qfile *file, const struct str *reports,
		   const char *want)
{
	struct bounce_route route = bounce_route(&config, file->sender);
	struct str got = { 0 };

	bounce_text(&got, &config, &rewrite, file, str_view(reports), &route,
		    1795338523);
	assert_string_equal(str_c(&got), want);
	str_free(&got);
}

static void test_single_bounce_reads_as_qmails(void **state)
{
	static const char *const rcpts[] = { "Xjoe@virt.example", "Dok@b",
					     "Xann", "Wlater@b", "Xlast@b" };
	struct qfile file = make_file("s@far.example", rcpts, 5);
	struct str reports = { 0 };

	(void)state;
	add_report(&reports, 2, "second, without newline");
	add_report(&reports, 0, "overtaken\n");
	add_report(&reports, 1, "of one that was delivered later\n");
	add_report(&reports, 0, "line one\n\nline two\n");
	add_report(&reports, 99, "of nobody\n");
	expect(&file, &reports,
	       "Date: 22 Nov 2026 09:08:43 -0000\n"
	       "From: MAILER-DAEMON@here.example\n"
	       "To: s@far.example\n"
	       "Subject: failure notice\n"
	       "\n"
	       "Hi. This is the qmail-send program at here.example.\n"
	       "I'm afraid I wasn't able to deliver your message to the "
	       "following addresses.\n"
	       "This is a permanent error; I've given up. Sorry it didn't "
	       "work out.\n"
	       "\n"
	       "<joe@virt.example>:\n"
	       "line one\n"
	       "/line two\n"
	       "\n"
	       "<ann@here.example>:\n"
	       "second, without newline\n"
	       "\n"
	       "<last@b>:\n"
	       "Sorry, I could not deliver the message to this address, and "
	       "the reason\n"
	       "has been lost.\n"
	       "\n"
	       "--- Below this line is a copy of the message.\n"
	       "\n"
	       "Return-Path: <s@far.example>\n");
	str_free(&reports);
	qfile_close(&file);
}

static void test_double_bounce_reads_as_qmails(void **state)
{
	static const char *const rcpts[] = { "Xjoe@b" };
	struct qfile file = make_file("", rcpts, 1);
	struct str reports = { 0 };

	(void)state;
	add_report(&reports, 0, "no\n");
	expect(&file, &reports,
	       "Date: 22 Nov 2026 09:08:43 -0000\n"
	       "From: MAILER-DAEMON@here.example\n"
	       "To: postmaster@here.example\n"
	       "Subject: failure notice\n"
	       "\n"
	       "Hi. This is the qmail-send program at here.example.\n"
	       "I tried to deliver a bounce message to this address, but the "
	       "bounce bounced!\n"
	       "\n"
	       "<joe@b>:\n"
	       "no\n"
	       "\n"
	       "--- Below this line is the original bounce.\n"
	       "\n"
	       "Return-Path: <>\n");
	str_free(&reports);
	qfile_close(&file);
}

static void test_routes(void **state)
{
	struct bounce_route route;

	(void)state;
	route = bounce_route(&config, VIEW("a@b"));
	assert_true(view_eq(route.from, VIEW("")));
	assert_true(view_eq(route.to, VIEW("a@b")));
	assert_false(route.is_double || route.is_triple);
	route = bounce_route(&config, VIEW(""));
	assert_true(view_eq(route.from, VIEW("#@[]")));
	assert_true(view_eq(route.to, VIEW("postmaster@here.example")));
	assert_true(route.is_double);
	assert_true(bounce_route(&config, VIEW("#@[]")).is_triple);
	route = bounce_route(&config, VIEW("l-@h-@[]"));
	assert_true(view_eq(route.to, VIEW("l-@h")));
}

static void test_hostile_bytes_stay_in_their_paragraph(void **state)
{
	static const char *const rcpts[] = { "Xa\r\n\nb@c", "Xd@e" };
	struct qfile file = make_file("x\ny z@far.example", rcpts, 2);
	struct bounce_route route = bounce_route(&config, file.sender);
	struct str reports = { 0 };
	struct str got = { 0 };

	(void)state;
	add_report(&reports, 0, "\n\n\n<f@g>:\r\nforged\x1b[m\n\n\n");
	add_report(&reports, 1, "");
	bounce_text(&got, &config, &rewrite, &file, str_view(&reports), &route,
		    0);
	assert_non_null(strstr(str_c(&got), "\nTo: \"x_y z\"@far.example\n"));
	assert_non_null(strstr(str_c(&got),
			       "<a___b@c>:\n///<f@g>:?\nforged?[m\n//\n\n"
			       "<d@e>:\n\n--- Below"));
	assert_non_null(
		strstr(str_c(&got), "Return-Path: <\"x_y z\"@far.example>\n"));
	str_free(&got);
	str_free(&reports);
	qfile_close(&file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_single_bounce_reads_as_qmails),
		cmocka_unit_test(test_double_bounce_reads_as_qmails),
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_hostile_bytes_stay_in_their_paragraph),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
