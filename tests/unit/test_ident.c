#include "tests/unit/unit.h"
#include "tools/ucspi/ident.h"

static void test_answers(void **state)
{
	static const struct {
		const char *line;
		const char *want; /* NULL: unknown */
	} cases[] = {
		{ "6193, 23 : USERID : UNIX : joe", "joe" },
		{ "6193,23:USERID:UNIX:joe", "joe" },
		{ "1,2:userid:OTHER:a b:c", "a b:c" },
		{ "1,2:USERID:UNIX:\x01joe\x7f\x1b", "joe" },
		{ "1,2:ERROR:NO-USER", NULL },
		{ "1,2:USERID:UNIX:", NULL },
		{ "1,2:USERID:UNIX", NULL },
		{ "1,2:USERID", NULL },
		{ "USERID", NULL },
		{ "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct str info = { 0 };
		bool known = ident_parse(view_of(cases[i].line), &info);

		assert_int_equal(known, cases[i].want != NULL);
		if (known)
			assert_string_equal(str_c(&info), cases[i].want);
		str_free(&info);
	}
}

static void test_a_long_name_is_cut(void **state)
{
	struct str line = { 0 };
	struct str info = { 0 };

	(void)state;
	str_append_c(&line, "1,2:USERID:UNIX:");
	for (int i = 0; i < 900; i++)
		str_append_byte(&line, 'x');
	assert_true(ident_parse(str_view(&line), &info));
	assert_int_equal(info.len, IDENT_MAX_BYTES);
	str_free(&line);
	str_free(&info);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_a_long_name_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
