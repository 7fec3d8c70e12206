#include "tests/unit/unit.h"
#include "tools/daemontools/script.h"

static const struct {
	const char *label;
	const char *pattern;
	const char *line;
	bool want;
} matches[] = {
	{ "a text matches itself", "hello", "hello", true },
	{ "a text is not a prefix", "hello", "hello world", false },
	{ "a text is not longer", "hello", "hell", false },
	{ "nothing matches nothing", "", "", true },
	{ "nothing matches only nothing", "", "x", false },
	{ "a star at the end takes the rest", "hell*", "hello world", true },
	{ "a star at the end takes nothing", "hello*", "hello", true },
	{ "a star alone takes all", "*", "anything", true },
	{ "a star alone takes nothing", "*", "", true },
	{ "a star stops at what follows it", "*b", "abb", false },
	{ "a star stops there and goes on", "*bc", "abc", true },
	{ "what follows must come", "a*z", "abc", false },
	{ "a star may be empty", "a*b", "ab", true },
	{ "several stars", "named[*]: Cleaned cache *",
	  "named[135]: Cleaned cache of 3121 RRs.", true },
	{ "several stars, other text", "named[*]: Cleaned cache *",
	  "named[135]: Lame server", false },
	{ "a label before", "* fatal: *",
	  "@400000003b4a39c23294b13c fatal: out of memory", true },
	{ "only the first space ends the star", "* fatal: *",
	  "@400000003b4a39c23294b13c  fatal: x", false },
	{ "a star before a star wants one", "**", "abc", false },
	{ "a star before a star finds one", "**", "a*c", true },
	{ "three stars", "***", "*", true },
};

static void test_patterns_match_as_the_manual_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(matches); i++)
		if (script_match(view_of(matches[i].pattern),
				 view_of(matches[i].line)) != matches[i].want)
			fail_msg("%s", matches[i].label);
}

static void test_lines_may_hold_nuls(void **state)
{
	(void)state;
	assert_true(script_match(VIEW("a*"), VIEW("a\0b")));
	assert_false(script_match(VIEW("a"), VIEW("a\0b")));
	assert_true(script_match(VIEW("*b"), VIEW("a\0b")));
}

/* Patterns of many stars are linear: this ends at once. */
static void test_many_stars_cost_no_more_than_the_line(void **state)
{
	char pattern[2000];
	char line[SCRIPT_LINE_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = i % 2 ? 'a' : '*';
	memset(line, 'a', sizeof(line));
	line[sizeof(line) - 1] = 'b';
	assert_false(script_match(view_make(pattern, sizeof(pattern)),
				  view_make(line, sizeof(line))));
}

static struct script parse(char *const *args)
{
	struct script script;

	script_parse(&script, args);
	return script;
}

#define ARGS(...) ((char *const[]){ __VA_ARGS__, NULL })
#define ARG(text) ((char[]){ text })

static void test_settings_hold_for_the_directories_that_follow(void **state)
{
	struct script s =
		parse(ARGS(ARG("./a"), ARG("s5000"), ARG("n3"), ARG("!gzip"),
			   ARG("/b"), ARG("!"), ARG("./c")));

	(void)state;
	assert_false(s.timestamp);
	assert_null(s.unknown);
	assert_int_equal(s.count, 3);
	assert_int_equal(s.actions[0].kind, SCRIPT_LOG);
	assert_string_equal(s.actions[0].text, "./a");
	assert_int_equal(s.actions[0].max_bytes, 99999);
	assert_int_equal(s.actions[0].max_files, 10);
	assert_null(s.actions[0].processor);
	assert_int_equal(s.actions[1].max_bytes, 5000);
	assert_int_equal(s.actions[1].max_files, 3);
	assert_string_equal(s.actions[1].processor, "gzip");
	assert_int_equal(s.actions[2].max_bytes, 5000);
	assert_null(s.actions[2].processor);
	script_free(&s);
}

static void test_numbers_outside_their_limits_become_the_limit(void **state)
{
	static const struct {
		const char *arg;
		uint32_t max_bytes;
		uint32_t max_files;
	} rows[] = {
		{ "s1", 4096, 10 },
		{ "s4096", 4096, 10 },
		{ "s4097", 4097, 10 },
		{ "s16777215", 16777215, 10 },
		{ "s16777216", 16777215, 10 },
		{ "s99999999999999999999999", 16777215, 10 },
		{ "s", 4096, 10 },
		{ "sx", 4096, 10 },
		{ "s5000x", 5000, 10 },
		{ "n0", 99999, 2 },
		{ "n2", 99999, 2 },
		{ "n", 99999, 2 },
		{ "n77", 99999, 77 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct str arg = { 0 };
		struct script s;

		str_set_c(&arg, rows[i].arg);
		str_c(&arg);
		s = parse(ARGS(arg.p, ARG("./d")));
		assert_int_equal(s.actions[0].max_bytes, rows[i].max_bytes);
		assert_int_equal(s.actions[0].max_files, rows[i].max_files);
		script_free(&s);
		str_free(&arg);
	}
}

static void test_t_counts_only_as_the_first_action(void **state)
{
	struct script first = parse(ARGS(ARG("t"), ARG("e")));
	struct script later = parse(ARGS(ARG("e"), ARG("t")));

	(void)state;
	assert_true(first.timestamp);
	assert_null(first.unknown);
	assert_int_equal(first.count, 1);
	assert_false(later.timestamp);
	assert_string_equal(later.unknown, "t");
	script_free(&first);
	script_free(&later);
}

static void test_actions_keep_their_order_and_text(void **state)
{
	struct script s =
		parse(ARGS(ARG("-*"), ARG("+x*"), ARG("e"), ARG("=status")));

	(void)state;
	assert_int_equal(s.count, 4);
	assert_int_equal(s.actions[0].kind, SCRIPT_DESELECT);
	assert_string_equal(s.actions[0].text, "*");
	assert_int_equal(s.actions[1].kind, SCRIPT_SELECT);
	assert_string_equal(s.actions[1].text, "x*");
	assert_int_equal(s.actions[2].kind, SCRIPT_ALERT);
	assert_int_equal(s.actions[3].kind, SCRIPT_STATUS);
	assert_string_equal(s.actions[3].text, "status");
	script_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_patterns_match_as_the_manual_says),
		cmocka_unit_test(test_lines_may_hold_nuls),
		cmocka_unit_test(test_many_stars_cost_no_more_than_the_line),
		cmocka_unit_test(
			test_settings_hold_for_the_directories_that_follow),
		cmocka_unit_test(
			test_numbers_outside_their_limits_become_the_limit),
		cmocka_unit_test(test_t_counts_only_as_the_first_action),
		cmocka_unit_test(test_actions_keep_their_order_and_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
