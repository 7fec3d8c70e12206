#include "tests/unit/unit.h"

#include "lib/allow.h"
#include "lspawn/assign.h"

static void test_assignment_becomes_key_and_value(void **state)
{
	struct str key = { 0 };
	struct str value = { 0 };
	struct str ends = { 0 };

	(void)state;
	assert_true(assign_line(VIEW("=Joe:joe:503:78:/home/joe:::"), &key,
				&value, &ends));
	assert_true(view_eq(str_view(&key), VIEW("!joe\0")));
	assert_true(view_eq(str_view(&value),
			    VIEW("joe\000503\00078\0/home/joe\0\0")));
	assert_int_equal(ends.len, 0);
	assert_true(assign_line(VIEW("+JOE-:joe:503:78:/home/joe:-:x:rest"),
				&key, &value, &ends));
	assert_true(view_eq(str_view(&key), VIEW("!joe-")));
	assert_true(view_eq(str_view(&value),
			    VIEW("joe\000503\00078\0/home/joe\0-\0x")));
	assert_true(
		assign_line(VIEW("+:alias:1:2:/a:-::"), &key, &value, &ends));
	assert_true(view_eq(str_view(&key), VIEW("!")));
	assert_true(assign_line(VIEW("+a-:a:1:2:/a:-::"), &key, &value, &ends));
	assert_true(assign_line(VIEW("+aX:a:1:2:/a:-::"), &key, &value, &ends));
	assert_true(view_eq(str_view(&ends), VIEW("-x")));
	str_free(&key);
	str_free(&value);
	str_free(&ends);
}

static void test_what_is_no_assignment_is_refused(void **state)
{
	static const char *const lines[] = {
		"",
		"=",
		"joe:j:1:2:/h:::",
		":j:1:2:/h:::",
		"=a:b:1:2",
		"=a:b:1:2:/h::",
		"#=a:b:1:2:/h:::",
	};
	struct str key = { 0 };
	struct str value = { 0 };
	struct str ends = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(lines); i++)
		assert_false(
			assign_line(view_of(lines[i]), &key, &value, &ends));
	assert_false(assign_line(VIEW("=a:b:1:2:/\0:::"), &key, &value, &ends));
	str_free(&key);
	str_free(&value);
	str_free(&ends);
}

static void test_record_is_six_fields(void **state)
{
	struct assign who;

	(void)state;
	assert_true(assign_parse(VIEW("joe\000503\00078\0/h\0-\0x-Y\0"), &who));
	assert_true(view_eq(who.user, VIEW("joe")));
	assert_int_equal(who.uid, 503);
	assert_int_equal(who.gid, 78);
	assert_true(view_eq(who.home, VIEW("/h")));
	assert_true(view_eq(who.dash, VIEW("-")));
	assert_true(view_eq(who.ext, VIEW("x-Y")));
	assert_true(assign_parse(VIEW("a\0001\0002\0/h\0\0\0"), &who));
	assert_false(assign_parse(VIEW("a\0001\0002\0/h\0\0"), &who));
	assert_false(assign_parse(VIEW("a\0001\0002\0/h\0\0\0\0"), &who));
	assert_false(assign_parse(VIEW("a\0001\0002\0/h\0\0x"), &who));
	assert_false(assign_parse(VIEW("a\0-1\0002\0/h\0\0\0"), &who));
	assert_false(assign_parse(VIEW("a\0001x\0002\0/h\0\0\0"), &who));
	assert_false(
		assign_parse(VIEW("a\0004294967296\0002\0/h\0\0\0"), &who));
	assert_false(
		assign_parse(VIEW("a\0001\0004294967295\0/h\0\0\0"), &who));
	assert_false(assign_parse(VIEW(""), &who));
}

static void test_only_listed_ids_are_allowed(void **state)
{
	static const struct {
		const char *text;
		uid_t uid;
		gid_t gid;
		bool want;
	} cases[] = {
		{ "1000 1000", 1000, 1000, true },
		{ "1000 1000", 1000, 1001, false },
		{ "1000 1000", 1001, 1000, false },
		{ "1000  1000", 1000, 1000, true },
		{ "1000", 1000, 5, true },
		{ "1000", 1000, 0, false },
		{ "89 89", 89, 89, true },
		{ "89", 89, 89, true },
		{ "0 0", 0, 0, false },
		{ "0", 0, 1000, false },
		{ "0-60000", 0, 1000, false },
		{ "1000-60000", 1000, 1000, true },
		{ "1000-60000", 60000, 100, true },
		{ "1000-60000", 60001, 1000, false },
		{ "1000-60000", 2000, 99, false },
		{ "1-60000", 99, 1000, false },
		{ "1-60000\n99", 99, 1000, true },
		{ "1000 x", 1000, 1000, false },
		{ "x", 1000, 1000, false },
		{ "1000-", 1000, 1000, false },
		{ "# 1000 1000", 1000, 1000, false },
		{ "/home", 1000, 1000, false },
		{ "", 1000, 1000, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct control_list list = { 0 };

		control_list_parse(&list, view_of(cases[i].text));
		if (allow_ids(&list, cases[i].uid, cases[i].gid) !=
		    cases[i].want)
			fail_msg("%s: %d %d", cases[i].text, (int)cases[i].uid,
				 (int)cases[i].gid);
		control_list_free(&list);
	}
}

static void test_homes_lie_below_a_prefix(void **state)
{
	static const struct {
		const char *home;
		bool want;
	} cases[] = {
		{ "/home/joe", true },
		{ "/home", true },
		{ "/homes/joe", false },
		{ "/home/../etc", false },
		{ "/home/joe/..", false },
		{ "/home/..joe", true },
		{ "/srv/x/y", true },
		{ "/srv", false },
		{ "home/joe", false },
		{ "", false },
		{ "/", false },
	};
	struct control_list list = { 0 };

	(void)state;
	control_list_parse(&list, VIEW("1000 1000\n/home\n/srv/x/\n"));
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		if (allow_home(&list, view_of(cases[i].home)) != cases[i].want)
			fail_msg("%s", cases[i].home);
	control_list_free(&list);
	control_list_parse(&list, VIEW("/\n"));
	assert_true(allow_home(&list, VIEW("/anywhere")));
	control_list_free(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_assignment_becomes_key_and_value),
		cmocka_unit_test(test_what_is_no_assignment_is_refused),
		cmocka_unit_test(test_record_is_six_fields),
		cmocka_unit_test(test_only_listed_ids_are_allowed),
		cmocka_unit_test(test_homes_lie_below_a_prefix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
