#include "lib/enqueue.h"

/* cmocka.h wants these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>

#include "lib/qfile.h"
#include "tests/unit/enqueuehome.h"

/* A program in the place of qmail-queue. */
static void use_program(const char *script)
{
	int fd = openat(home, "qq", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			0700);

	assert_int_not_equal(fd, -1);
	keep(fd, VIEW("#!/bin/sh\n"));
	keep(fd, view_of(script));
	close(fd);
	setenv("QMAILQUEUE", "./qq", 1);
}

static void usual_message(struct enqueue *q)
{
	enqueue_open(q, home);
	enqueue_put(q, VIEW("Subject: t\n\n"));
	enqueue_from(q, VIEW("a@b"));
	enqueue_param(q, QFILE_BODY, VIEW("8BITMIME"));
	enqueue_to(q, VIEW("c@d"));
	enqueue_to(q, VIEW("e@f"));
}

static void test_program_gets_message_then_envelope(void **state)
{
	struct str got = { 0 };
	struct enqueue q;

	(void)state;
	use_program("cat >got\ncat <&1 >>got\nexit 0\n");
	usual_message(&q);
	assert_int_not_equal(q.pid, getpid());
	assert_int_equal(enqueue_close(&q), ENQUEUE_DONE);
	assert_int_equal(q.id, 0);
	read_got(&got);
	assert_true(view_eq(str_view(&got),
			    VIEW("Subject: t\n\nFa@b\0Tc@d\0Te@f\0\0")));
	enqueue_free(&q);
	str_free(&got);
}

static void test_program_failures(void **state)
{
	static const struct {
		const char *script;
		enum enqueue_result want;
		const char *text;
	} cases[] = {
		{ "exit 31", ENQUEUE_PERMANENT,
		  "mail server permanently rejected message (#5.3.0)" },
		{ "exit 11", ENQUEUE_PERMANENT,
		  "envelope address too long for qq (#5.1.3)" },
		{ "exit 40", ENQUEUE_PERMANENT,
		  "qq permanent problem (#5.3.0)" },
		{ "exit 41", ENQUEUE_TEMPORARY,
		  "qq temporary problem (#4.3.0)" },
		{ "exit 53", ENQUEUE_TEMPORARY,
		  "qq write error or disk full (#4.3.0)" },
		{ "exit 111", ENQUEUE_TEMPORARY,
		  "qq temporary problem (#4.3.0)" },
		{ "kill -9 $$", ENQUEUE_TEMPORARY, "qq crashed (#4.3.0)" },
		{ "echo Dno spam please >&4; exit 82", ENQUEUE_PERMANENT,
		  "no spam please" },
		{ "echo Dthe other one >&6; exit 82", ENQUEUE_PERMANENT,
		  "the other one" },
		{ "echo Ztry later >&4; exit 82", ENQUEUE_TEMPORARY,
		  "try later" },
		{ "printf 'Dfirst\\r\\n250 second' >&4; exit 82",
		  ENQUEUE_PERMANENT, "first" },
		{ "exit 82", ENQUEUE_TEMPORARY,
		  "qq temporary problem (#4.3.0)" },
		{ "echo Dignored >&4; exit 71", ENQUEUE_TEMPORARY,
		  "mail server temporarily rejected message (#4.3.0)" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct enqueue q;

		use_program(cases[i].script);
		usual_message(&q);
		if (enqueue_close(&q) != cases[i].want ||
		    !view_eq(str_view(&q.text), view_of(cases[i].text)))
			fail_msg("%s: %s", cases[i].script, str_c(&q.text));
		enqueue_free(&q);
	}
}

static void test_program_that_reads_little_and_talks_much(void **state)
{
	static char piece[10000];
	struct enqueue q;

	(void)state;
	use_program("head -c 200000 /dev/zero >&4\nexit 31\n");
	enqueue_open(&q, home);
	for (int i = 0; i < 100; i++)
		enqueue_put(&q, view_make(piece, sizeof(piece)));
	enqueue_from(&q, VIEW("x"));
	enqueue_to(&q, VIEW("x"));
	assert_int_equal(enqueue_close(&q), ENQUEUE_PERMANENT);
	assert_int_equal(q.code, 31);
	enqueue_free(&q);
}

static void test_program_that_reads_little_is_not_believed(void **state)
{
	static char piece[10000];
	struct enqueue q;

	(void)state;
	use_program("exit 0\n");
	enqueue_open(&q, home);
	for (int i = 0; i < 100; i++)
		enqueue_put(&q, view_make(piece, sizeof(piece)));
	enqueue_from(&q, VIEW("x"));
	enqueue_to(&q, VIEW("x"));
	assert_int_equal(enqueue_close(&q), ENQUEUE_TEMPORARY);
	assert_int_equal(q.code, ENQUEUE_CODE_WRITE);
	enqueue_free(&q);
}

static void test_program_that_is_not_there(void **state)
{
	struct enqueue q;

	(void)state;
	setenv("QMAILQUEUE", "/nonexistent/qmail-queue", 1);
	usual_message(&q);
	assert_int_equal(enqueue_close(&q), ENQUEUE_TEMPORARY);
	assert_int_equal(q.code, ENQUEUE_CODE_EXEC);
	assert_string_equal(str_c(&q.text), "unable to exec qq (#4.3.0)");
	enqueue_free(&q);
}

static void test_failed_message_has_no_end_for_the_program(void **state)
{
	struct str got = { 0 };
	struct enqueue q;

	(void)state;
	use_program("cat <&1 >got\nexit 54\n");
	usual_message(&q);
	enqueue_fail(&q, ENQUEUE_CODE_READ);
	assert_int_equal(enqueue_close(&q), ENQUEUE_TEMPORARY);
	assert_int_equal(q.code, ENQUEUE_CODE_READ);
	read_got(&got);
	assert_false(view_ends(str_view(&got), VIEW("\0\0")));
	enqueue_free(&q);
	str_free(&got);
}

int main(void)
{
#define AT_HOME(test)                                                          \
	cmocka_unit_test_setup_teardown(test, make_home, remove_home)
	const struct CMUnitTest tests[] = {
		AT_HOME(test_program_gets_message_then_envelope),
		AT_HOME(test_program_failures),
		AT_HOME(test_program_that_reads_little_and_talks_much),
		AT_HOME(test_program_that_reads_little_is_not_believed),
		AT_HOME(test_program_that_is_not_there),
		AT_HOME(test_failed_message_has_no_end_for_the_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
