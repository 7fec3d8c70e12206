#include "lib/control.h"

#include <errno.h>

#include "tests/unit/unit.h"

static struct scratch home;

static int setup(void **state)
{
	(void)state;
	scratch_open(&home);
	assert_int_equal(mkdirat(home.fd, "control", 0755), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	scratch_close(&home);
	return 0;
}

static void put(const char *name, struct view content)
{
	char path[64];

	snprintf(path, sizeof(path), "control/%s", name);
	scratch_write(&home, path, content);
}

static void test_a_line_is_the_first_one_trimmed_at_its_end(void **state)
{
	static const struct {
		const char *content;
		const char *want;
	} cases[] = {
		{ "mx.example.org\n", "mx.example.org" },
		{ "mx.example.org", "mx.example.org" },
		{ "a \t \nb\n", "a" },
		{ "  a b\n", "  a b" },
		{ "\nb\n", "" },
		{ "", "" },
		{ "# no comment here\n", "# no comment here" },
	};
	struct str value = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		put("x", view_of(cases[i].content));
		assert_int_equal(control_line(home.fd, "x", &value),
				 CONTROL_OK);
		assert_str(&value, cases[i].want);
	}
	assert_int_equal(control_line(home.fd, "none", &value), CONTROL_ABSENT);
	assert_int_equal(value.len, 0);
	str_free(&value);
}

static void test_me_stands_in_for_absent_and_empty_files(void **state)
{
	struct str value = { 0 };

	(void)state;
	assert_int_equal(control_line_or_me(home.fd, "x", &value),
			 CONTROL_ABSENT);
	put("me", VIEW("me.example\n"));
	assert_int_equal(control_line_or_me(home.fd, "x", &value), CONTROL_OK);
	assert_str(&value, "me.example");
	put("x", VIEW(" \n"));
	assert_int_equal(control_line_or_me(home.fd, "x", &value), CONTROL_OK);
	assert_str(&value, "me.example");
	put("x", VIEW("x.example\n"));
	assert_int_equal(control_line_or_me(home.fd, "x", &value), CONTROL_OK);
	assert_str(&value, "x.example");
	str_free(&value);
}

static void test_a_number_that_is_none_is_an_error(void **state)
{
	static const struct {
		const char *content;
		enum control_result want;
		uint64_t number;
	} cases[] = {
		{ "20\n", CONTROL_OK, 20 },
		{ " 20 \n30\n", CONTROL_OK, 20 },
		{ "0", CONTROL_OK, 0 },
		{ "", CONTROL_ABSENT, 7 },
		{ "\n20\n", CONTROL_ABSENT, 7 },
		{ "20s\n", CONTROL_ERROR, 7 },
		{ "-1\n", CONTROL_ERROR, 7 },
		{ "99999999999999999999\n", CONTROL_ERROR, 7 },
	};
	uint64_t number;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		number = 7;
		errno = 0;
		put("n", view_of(cases[i].content));
		assert_int_equal(control_u64(home.fd, "n", &number),
				 cases[i].want);
		assert_true(number == cases[i].number);
		if (cases[i].want == CONTROL_ERROR)
			assert_int_equal(errno, EINVAL);
	}
	assert_int_equal(control_u64(home.fd, "none", &number), CONTROL_ABSENT);
}

static void assert_entries(const struct control_list *list, const char *want)
{
	struct view rest = control_list_start(list);
	struct str got = { 0 };
	struct view entry;

	while (control_list_next(&rest, &entry)) {
		str_append(&got, entry);
		str_append_byte(&got, '|');
	}
	assert_str(&got, want);
	str_free(&got);
}

static void test_a_list_skips_comments_and_empty_lines(void **state)
{
	static const struct {
		const char *content;
		const char *want;
	} cases[] = {
		{ "", "" },
		{ "\n\n \t\n", "" },
		{ "a\nb\n", "a|b|" },
		{ "a \n# x\n#\nb", "a|b|" },
		{ " #no comment\n", " #no comment|" },
		{ "a:b:c\n", "a:b:c|" },
	};
	struct control_list list = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		put("l", view_of(cases[i].content));
		assert_int_equal(control_list(home.fd, "l", &list), CONTROL_OK);
		assert_entries(&list, cases[i].want);
	}
	assert_int_equal(control_list(home.fd, "none", &list), CONTROL_ABSENT);
	assert_entries(&list, "");
	control_list_free(&list);
}

/* None of these may pass for an empty file, which would be a default. */
static void test_what_cannot_be_read_is_never_a_default(void **state)
{
	static const char *const names[] = { "dir", "fifo", "nuls", "loop",
					     "file/x" };
	struct control_list list = { 0 };
	struct str value = { 0 };
	uint64_t number = 7;

	(void)state;
	put("me", VIEW("me.example\n"));
	put("file", VIEW("a\n"));
	put("nuls", VIEW("\0\0\0\0"));
	assert_int_equal(mkdirat(home.fd, "control/dir", 0755), 0);
	assert_int_equal(mkfifoat(home.fd, "control/fifo", 0644), 0);
	assert_int_equal(symlinkat("loop", home.fd, "control/loop"), 0);
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		assert_int_equal(control_line(home.fd, names[i], &value),
				 CONTROL_ERROR);
		assert_int_equal(value.len, 0);
		assert_int_equal(control_line_or_me(home.fd, names[i], &value),
				 CONTROL_ERROR);
		assert_int_equal(control_u64(home.fd, names[i], &number),
				 CONTROL_ERROR);
		assert_int_equal(number, 7);
		assert_int_equal(control_list(home.fd, names[i], &list),
				 CONTROL_ERROR);
		assert_entries(&list, "");
	}
	str_free(&value);
	control_list_free(&list);
}

static void test_the_limit_is_exact(void **state)
{
	struct str text = { 0 };
	static char many[10000];

	(void)state;
	memset(many, 'x', sizeof(many));
	put("big", view_make(many, sizeof(many)));
	assert_int_equal(control_read(home.fd, "control/big", &text, 10000),
			 CONTROL_OK);
	assert_int_equal(text.len, 10000);
	assert_int_equal(control_read(home.fd, "control/big", &text, 9999),
			 CONTROL_ERROR);
	assert_int_equal(errno, EFBIG);
	assert_int_equal(text.len, 0);
	assert_int_equal(control_read(home.fd, "control/big", &text, 0),
			 CONTROL_ERROR);
	assert_int_equal(control_read(home.fd, "control/big", &text, SIZE_MAX),
			 CONTROL_OK);
	assert_int_equal(text.len, 10000);
	put("big", VIEW(""));
	assert_int_equal(control_read(home.fd, "control/big", &text, 0),
			 CONTROL_OK);
	str_free(&text);
}

static void test_a_file_without_permission_is_an_error(void **state)
{
	struct str value = { 0 };

	(void)state;
	if (geteuid() == 0)
		skip();
	put("secret", VIEW("x\n"));
	assert_int_equal(fchmodat(home.fd, "control/secret", 0, 0), 0);
	assert_int_equal(control_line(home.fd, "secret", &value),
			 CONTROL_ERROR);
	assert_int_equal(errno, EACCES);
	str_free(&value);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_a_line_is_the_first_one_trimmed_at_its_end),
		CASE(test_me_stands_in_for_absent_and_empty_files),
		CASE(test_a_number_that_is_none_is_an_error),
		CASE(test_a_list_skips_comments_and_empty_lines),
		CASE(test_what_cannot_be_read_is_never_a_default),
		CASE(test_the_limit_is_exact),
		CASE(test_a_file_without_permission_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
