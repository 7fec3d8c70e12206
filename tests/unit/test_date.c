#include "lib/date.h"

#include <time.h>

#include "tests/unit/unit.h"

static void test_known_moments_have_their_known_text(void **state)
{
	static const struct {
		int64_t unix_s;
		const char *plain;
		const char *weekday;
		const char *ctime;
	} cases[] = {
		{ 0, "1 Jan 1970 00:00:00 -0000",
		  "Thu, 1 Jan 1970 00:00:00 +0000",
		  "Thu Jan  1 00:00:00 1970" },
		{ -1, "31 Dec 1969 23:59:59 -0000",
		  "Wed, 31 Dec 1969 23:59:59 +0000",
		  "Wed Dec 31 23:59:59 1969" },
		{ 951782400, "29 Feb 2000 00:00:00 -0000",
		  "Tue, 29 Feb 2000 00:00:00 +0000",
		  "Tue Feb 29 00:00:00 2000" },
		{ 1795338523, "22 Nov 2026 09:08:43 -0000",
		  "Sun, 22 Nov 2026 09:08:43 +0000",
		  "Sun Nov 22 09:08:43 2026" },
		{ INT32_MAX, "19 Jan 2038 03:14:07 -0000",
		  "Tue, 19 Jan 2038 03:14:07 +0000",
		  "Tue Jan 19 03:14:07 2038" },
		{ (int64_t)INT32_MAX + 1, "19 Jan 2038 03:14:08 -0000",
		  "Tue, 19 Jan 2038 03:14:08 +0000",
		  "Tue Jan 19 03:14:08 2038" },
		{ 4107542399, "28 Feb 2100 23:59:59 -0000",
		  "Sun, 28 Feb 2100 23:59:59 +0000",
		  "Sun Feb 28 23:59:59 2100" },
		{ 4107542400, "1 Mar 2100 00:00:00 -0000",
		  "Mon, 1 Mar 2100 00:00:00 +0000",
		  "Mon Mar  1 00:00:00 2100" },
		{ 253402300800, "1 Jan 10000 00:00:00 -0000",
		  "Sat, 1 Jan 10000 00:00:00 +0000",
		  "Sat Jan  1 00:00:00 10000" },
	};
	struct str got = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		str_reset(&got);
		date_format(&got, cases[i].unix_s);
		assert_str(&got, cases[i].plain);
		str_reset(&got);
		date_format_weekday(&got, cases[i].unix_s);
		assert_str(&got, cases[i].weekday);
		str_reset(&got);
		date_format_ctime(&got, cases[i].unix_s);
		assert_str(&got, cases[i].ctime);
	}
	str_free(&got);
}

/* Days of nine centuries, and the last second of each. */
static void test_every_day_agrees_with_the_c_library(void **state)
{
	struct str got = { 0 };

	(void)state;
	for (int64_t day = -365 * 400; day < 365 * 500; day++) {
		for (int end = 0; end < 2; end++) {
			time_t at = (time_t)(day * 86400 + end * 86399);
			char want[64];
			struct tm tm;

			gmtime_r(&at, &tm);
			strftime(want, sizeof(want), "%a %b %e %H:%M:%S %Y",
				 &tm);
			str_reset(&got);
			date_format_ctime(&got, at);
			if (strcmp(str_c(&got), want) != 0)
				assert_str(&got, want);
		}
	}
	str_free(&got);
}

static void test_the_ends_of_time_do_no_harm(void **state)
{
	struct str got = { 0 };

	(void)state;
	date_format_weekday(&got, INT64_MAX);
	assert_str(&got, "Sun, 4 Dec 292277026596 15:30:07 +0000");
	str_reset(&got);
	date_format_weekday(&got, INT64_MIN);
	assert_str(&got, "Sun, 27 Jan -292277022657 08:29:52 +0000");
	str_free(&got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_moments_have_their_known_text),
		cmocka_unit_test(test_every_day_agrees_with_the_c_library),
		cmocka_unit_test(test_the_ends_of_time_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
