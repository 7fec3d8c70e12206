#include "tests/unit/unit.h"
#include "tools/daemontools/death.h"

static void test_lines_that_mean_something(void **state)
{
	const struct {
		struct view text;
		enum death_kind kind;
		unsigned number;
	} cases[] = {
		{ VIEW("exit 0\n"), DEATH_EXIT, 0 },
		{ VIEW("exit 111\n"), DEATH_EXIT, 111 },
		{ VIEW("exit 255\n"), DEATH_EXIT, 255 },
		{ VIEW("signal 9\n"), DEATH_SIGNAL, 9 },
		{ VIEW("exit 1\nmore"), DEATH_EXIT, 1 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct death death = death_parse(cases[i].text);

		assert_int_equal(death.kind, cases[i].kind);
		assert_int_equal(death.number, cases[i].number);
	}
}

static void test_others_are_unknown(void **state)
{
	const struct view cases[] = {
		VIEW(""),           VIEW("\n"),        VIEW("exit"),
		VIEW("exit\n"),     VIEW("exit \n"),   VIEW("exit 1"),
		VIEW("exit 256\n"), VIEW("exit -1\n"), VIEW("exit 1 2\n"),
		VIEW("signal\n"),   VIEW("EXIT 1\n"),  VIEW("exit 1\0\n"),
		VIEW(" exit 1\n"),
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_int_equal(death_parse(cases[i]).kind, DEATH_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines_that_mean_something),
		cmocka_unit_test(test_others_are_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
