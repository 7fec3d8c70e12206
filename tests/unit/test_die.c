#include "lib/die.h"

#include <errno.h>

#include "tests/unit/unit.h"

static void die_permanently(void *arg)
{
	die_name("prog");
	die(EXIT_REJECT, "usage: %s", (const char *)arg);
}

static void die_with_errno(void *arg)
{
	die_name("prog");
	errno = ENOENT;
	die_errno(EXIT_RETRY, "open %s", (const char *)arg);
}

static void die_with_a_long_name(void *arg)
{
	die_name(arg);
	errno = ENOENT;
	die_errno(EXIT_RETRY, "%s", (const char *)arg);
}

static void warn_of_nothing(void *arg)
{
	(void)arg;
	errno = EPERM;
	warn_errno("a");
	warn("%d", errno == EPERM);
}

static char usage[] = "prog x";

static void test_the_exit_code_and_the_line_are_as_asked(void **state)
{
	struct str said = { 0 };

	(void)state;
	assert_int_equal(in_child(die_permanently, usage, &said), 100);
	assert_str(&said, "prog: usage: prog x\n");
	assert_int_equal(in_child(die_with_errno, usage, &said), 111);
	assert_str(&said, "prog: open prog x: No such file or directory\n");
	assert_int_equal(in_child(warn_of_nothing, NULL, &said), 0);
	assert_str(&said, "valija: a: Operation not permitted\nvalija: 1\n");
	str_free(&said);
}

static void test_a_stranger_cannot_forge_a_second_line(void **state)
{
	static char text[] = "a\n2026 \x1b[1m\r\x7f\xc3";
	struct str said = { 0 };

	(void)state;
	in_child(die_with_errno, text, &said);
	assert_str(&said, "prog: open a\\x0a2026 \\x1b[1m\\x0d\\x7f\\xc3: "
			  "No such file or directory\n");
	str_free(&said);
}

static void test_a_line_is_bounded_and_keeps_its_reason(void **state)
{
	static char text[3 * LOG_MAX_BYTES];
	struct str said = { 0 };

	(void)state;
	for (int byte = 1; byte < 256; byte += 127) {
		memset(text, byte, sizeof(text) - 1);
		assert_int_equal(in_child(die_with_errno, text, &said), 111);
		assert_true(said.len <= LOG_MAX_BYTES);
		assert_true(view_ends(str_view(&said),
				      VIEW(": No such file or directory\n")));
		assert_int_equal(in_child(die_with_a_long_name, text, &said),
				 111);
		assert_true(said.len <= LOG_MAX_BYTES);
	}
	str_free(&said);
}

static void test_escape_leaves_only_printable_ascii(void **state)
{
	struct str s = { 0 };
	struct str all = { 0 };

	(void)state;
	log_escape(&s, VIEW("a b\\\n\0~"));
	assert_str(&s, "a b\\\\\\x0a\\x00~");
	for (int byte = 0; byte < 256; byte++)
		str_append_byte(&all, (char)byte);
	str_reset(&s);
	log_escape(&s, str_view(&all));
	for (size_t i = 0; i < s.len; i++)
		assert_true(s.p[i] >= ' ' && s.p[i] <= '~');
	str_free(&s);
	str_free(&all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_exit_code_and_the_line_are_as_asked),
		cmocka_unit_test(test_a_stranger_cannot_forge_a_second_line),
		cmocka_unit_test(test_a_line_is_bounded_and_keeps_its_reason),
		cmocka_unit_test(test_escape_leaves_only_printable_ascii),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
