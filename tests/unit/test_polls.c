#include "lib/polls.h"

#include <errno.h>
#include <signal.h>
#include <sys/time.h>

#include "lib/clock.h"
#include "tests/unit/unit.h"

static void test_each_descriptor_has_a_number_to_ask_with(void **state)
{
	struct polls polls = { 0 };
	size_t numbers[100];
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	for (size_t i = 0; i < COUNT_OF(numbers); i++)
		numbers[i] = polls_add(&polls, i % 3 ? -1 : fds[i % 2],
				       i % 2 ? POLLOUT : POLLIN);
	assert_int_equal(polls_wait(&polls, POLLS_NEVER), 0);
	for (size_t i = 0; i < COUNT_OF(numbers); i++)
		assert_int_equal(polls_ready(&polls, numbers[i]),
				 i % 3   ? 0
				 : i % 2 ? POLLOUT
					 : POLLIN);
	polls_reset(&polls);
	assert_int_equal(polls.count, 0);
	assert_int_equal(polls_add(&polls, fds[0], 0), 0);
	close(fds[1]);
	assert_int_equal(polls_wait(&polls, POLLS_NEVER), 0);
	assert_true(polls_ready(&polls, 0) & POLLHUP);
	close(fds[0]);
	polls_free(&polls);
	assert_null(polls.fds);
}

static void test_the_deadline_ends_the_wait_with_nothing_ready(void **state)
{
	struct polls polls = { 0 };
	int64_t start = clock_mono_ms();
	int64_t deadline = POLLS_NEVER;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	polls_add(&polls, fds[0], POLLIN);
	polls_until(&deadline, start + 30);
	polls_until(&deadline, start + 60000);
	assert_int_equal(deadline, start + 30);
	assert_int_equal(polls_wait(&polls, deadline), 0);
	assert_in_range(clock_mono_ms() - start, 30, 10000);
	assert_int_equal(polls_ready(&polls, 0), 0);
	assert_int_equal(polls_wait(&polls, 0), 0);
	assert_int_equal(polls_wait(&polls, start - 1), 0);
	assert_int_equal(polls_wait(&polls, INT64_MIN), 0);
	polls_free(&polls);
	close(fds[0]);
	close(fds[1]);
}

static void nothing(int sig)
{
	(void)sig;
}

static void test_a_signal_ends_the_wait_without_failure(void **state)
{
	struct sigaction action = { .sa_handler = nothing };
	struct itimerval often = { { 0, 20000 }, { 0, 20000 } };
	struct itimerval never = { { 0, 0 }, { 0, 0 } };
	struct polls polls = { 0 };

	(void)state;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	polls_add(&polls, -1, POLLIN);
	assert_int_equal(polls_wait(&polls, POLLS_NEVER), 0);
	setitimer(ITIMER_REAL, &never, NULL);
	assert_int_equal(polls_ready(&polls, 0), 0);
	polls_free(&polls);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_descriptor_has_a_number_to_ask_with),
		cmocka_unit_test(
			test_the_deadline_ends_the_wait_with_nothing_ready),
		cmocka_unit_test(test_a_signal_ends_the_wait_without_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
