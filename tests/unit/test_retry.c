#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "send/retry.h"

static void test_attempts_lie_on_qmails_squares(void **state)
{
	static const int64_t remote[] = { 400, 1600, 3600, 6400, 10000 };
	static const int64_t local[] = { 100, 400, 900, 1600, 2500 };
	int64_t birth = 1700000000;
	int64_t now = birth;

	(void)state;
	for (size_t i = 0; i < sizeof(remote) / sizeof(remote[0]); i++) {
		now = retry_next(now, birth, RETRY_SKIP_REMOTE);
		assert_int_equal(now - birth, remote[i]);
	}
	now = birth;
	for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++) {
		now = retry_next(now, birth, RETRY_SKIP_LOCAL);
		assert_int_equal(now - birth, local[i]);
	}
}

static void test_roots_are_rounded_down(void **state)
{
	(void)state;
	/* sqrt(99) = 9.9: (9 + 10)^2 */
	assert_int_equal(retry_next(99, 0, 10), 361);
	assert_int_equal(retry_next(100, 0, 10), 400);
	assert_int_equal(retry_next(120, 0, 10), 400);
	assert_int_equal(retry_next(604800, 0, 20), 797 * 797);
}

static void test_a_birth_in_the_future_counts_as_now(void **state)
{
	(void)state;
	assert_int_equal(retry_next(1000, 500000, 20), 1400);
}

static void test_absurd_times_do_not_overflow(void **state)
{
	(void)state;
	assert_true(retry_next(INT64_C(1) << 60, 0, 20) > INT64_C(1) << 60);
	assert_true(retry_next(INT64_C(1) << 60, INT64_C(1) << 61, 20) >
		    INT64_C(1) << 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attempts_lie_on_qmails_squares),
		cmocka_unit_test(test_roots_are_rounded_down),
		cmocka_unit_test(test_a_birth_in_the_future_counts_as_now),
		cmocka_unit_test(test_absurd_times_do_not_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
