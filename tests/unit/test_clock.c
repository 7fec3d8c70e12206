#include "lib/clock.h"

#include <time.h>

#include "tests/unit/unit.h"

static void test_mono_never_goes_back(void **state)
{
	int64_t last = clock_mono_ms();

	(void)state;
	for (int i = 0; i < 1000; i++) {
		int64_t now = clock_mono_ms();

		assert_true(now >= last);
		last = now;
	}
}

static void test_wall_is_the_systems(void **state)
{
	int64_t before = time(NULL);

	(void)state;
	unsetenv("VALIJA_TEST_CLOCK");
	/* time() may lag behind by a tick. */
	assert_in_range(clock_wall_s(), before - 1, before + 60);
	assert_in_range(clock_wall_us() / 1000000, before - 1, before + 60);
}

#ifdef VALIJA_TEST
static void test_the_test_clock_is_read_at_each_call(void **state)
{
	static const struct {
		const char *text;
		int64_t offset;
	} cases[] = {
		{ "3600", 3600 },
		{ "3600\n", 3600 },
		{ "-86400\n", -86400 },
		{ "0", 0 },
		{ "", 0 },
		{ "x", 0 },
		{ "12 ", 0 },
		{ "--1", 0 },
		{ "604800", 604800 },
		{ "-", 0 },
		{ "1e3", 0 },
		{ "99999999999999999999999999999999999999", 0 },
	};
	struct scratch scratch;
	char path[128];

	(void)state;
	scratch_open(&scratch);
	snprintf(path, sizeof(path), "%s/clock", scratch.path);
	setenv("VALIJA_TEST_CLOCK", path, 1);
	assert_in_range(clock_wall_s(), time(NULL) - 1, time(NULL) + 60);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		int64_t want = time(NULL) + cases[i].offset;

		scratch_write(&scratch, "clock", view_of(cases[i].text));
		assert_in_range(clock_wall_s(), want - 1, want + 60);
	}
	unsetenv("VALIJA_TEST_CLOCK");
	scratch_close(&scratch);
}
#else
static void test_the_test_clock_is_read_at_each_call(void **state)
{
	struct scratch scratch;
	char path[128];

	(void)state;
	scratch_open(&scratch);
	snprintf(path, sizeof(path), "%s/clock", scratch.path);
	scratch_write(&scratch, "clock", VIEW("86400"));
	setenv("VALIJA_TEST_CLOCK", path, 1);
	/* A build for the world does not listen. */
	assert_in_range(clock_wall_s(), time(NULL) - 1, time(NULL) + 60);
	unsetenv("VALIJA_TEST_CLOCK");
	scratch_close(&scratch);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mono_never_goes_back),
		cmocka_unit_test(test_wall_is_the_systems),
		cmocka_unit_test(test_the_test_clock_is_read_at_each_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
