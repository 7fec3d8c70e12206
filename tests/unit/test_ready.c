#include "lib/ready.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/time.h>

#include "lib/clock.h"
#include "tests/unit/unit.h"

static void test_a_ready_descriptor_needs_no_waiting(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	assert_int_equal(ready_wait(fds[0], POLLIN, -1, 0), 0);
	assert_int_equal(ready_wait(fds[0], POLLIN, 0, 0), 0);
	assert_int_equal(ready_wait(fds[0], POLLIN, -1, INT64_MAX), 0);
	assert_int_equal(ready_wait(fds[1], POLLOUT, INT32_MAX, 0), 0);
	close(fds[0]);
	close(fds[1]);
}

static void test_whichever_limit_comes_first_ends_the_wait(void **state)
{
	static const struct {
		int timeout_ms;
		int deadline_in_ms; /* 0: none */
	} cases[] = {
		{ 0, 0 },      { 20, 0 },     { -1, 20 },
		{ 20, 60000 }, { 60000, 20 }, { -1, -5 },
	};
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		int64_t start = clock_mono_ms();
		int64_t deadline = cases[i].deadline_in_ms;

		if (deadline)
			deadline += start;
		assert_int_equal(ready_wait(fds[0], POLLIN, cases[i].timeout_ms,
					    deadline),
				 -1);
		assert_int_equal(errno, ETIMEDOUT);
		assert_true(clock_mono_ms() - start < 10000);
	}
	close(fds[0]);
	close(fds[1]);
}

static volatile sig_atomic_t alarms;

static void count_alarm(int sig)
{
	(void)sig;
	alarms++;
}

static void test_signals_do_not_prolong_the_wait(void **state)
{
	struct itimerval often = { { 0, 10000 }, { 0, 10000 } };
	struct itimerval never = { { 0, 0 }, { 0, 0 } };
	struct sigaction action = { .sa_handler = count_alarm };
	int64_t start = clock_mono_ms();
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	assert_int_equal(ready_wait(fds[0], POLLIN, 100, 0), -1);
	assert_int_equal(errno, ETIMEDOUT);
	setitimer(ITIMER_REAL, &never, NULL);
	assert_true(alarms > 0);
	assert_true(clock_mono_ms() - start < 10000);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_ready_descriptor_needs_no_waiting),
		cmocka_unit_test(
			test_whichever_limit_comes_first_ends_the_wait),
		cmocka_unit_test(test_signals_do_not_prolong_the_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
