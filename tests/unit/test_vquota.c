#include "lib/vquota.h"

#include "tests/unit/unit.h"

static void test_quotas_get_their_normal_form(void **state)
{
	static const char *const cases[][2] = {
		{ "", "NOQUOTA" },
		{ "NOQUOTA", "NOQUOTA" },
		{ "noquota", "NOQUOTA" },
		{ "0", "NOQUOTA" },
		{ "1000000", "1000000S" },
		{ "1000000S", "1000000S" },
		{ "10M", "10485760S" },
		{ "10MB", "10485760S" },
		{ "10m", "10485760S" },
		{ "500K", "512000S" },
		{ "2G", "2147483648S" },
		{ "1000C", "1000C" },
		{ "5000S,10C", "5000S,10C" },
		{ "10C,5000S", "5000S,10C" },
	};
	struct vquota quota;
	struct str text = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		str_reset(&text);
		assert_int_equal(vquota_parse(view_of(cases[i][0]), &quota), 0);
		vquota_format(&text, &quota);
		assert_str(&text, cases[i][1]);
	}
	str_free(&text);
}

static void test_what_is_no_quota_is_refused(void **state)
{
	static const char *const cases[] = {
		"x",
		"10X",
		"-1",
		"1,",
		",",
		"M",
		"1 0",
		"C",
		"1CC",
		"S",
		"18446744073709551616",
		"18446744073709551615K",
		"99999999999999G",
		"1:2",
	};
	struct vquota quota;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_int_equal(vquota_parse(view_of(cases[i]), &quota), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quotas_get_their_normal_form),
		cmocka_unit_test(test_what_is_no_quota_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
