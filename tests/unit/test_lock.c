#include "lib/lock.h"

#include <errno.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/time.h>

#include "tests/unit/unit.h"

static void test_a_second_opener_must_wait_until_release(void **state)
{
	struct scratch scratch;
	int first;
	int second;

	(void)state;
	scratch_open(&scratch);
	first = lock_open(scratch.fd, "lock", 0600);
	assert_int_not_equal(first, -1);
	assert_true(fcntl(first, F_GETFD) & FD_CLOEXEC);
	second = openat(scratch.fd, "lock", O_RDWR);
	assert_int_equal(lock_try(second), -1);
	assert_int_equal(errno, EWOULDBLOCK);
	assert_int_equal(lock_try(first), 0);
	assert_int_equal(lock_release(first), 0);
	assert_int_equal(lock_try(second), 0);
	close(second);
	assert_int_equal(lock_take(first), 0);
	close(first);
	first = lock_open(scratch.fd, "lock", 0600);
	assert_int_not_equal(first, -1);
	close(first);
	scratch_close(&scratch);
}

static void nothing(int sig)
{
	(void)sig;
}

static void wait_through_signals(void *arg)
{
	struct scratch *scratch = arg;
	struct sigaction action = { .sa_handler = nothing };
	struct itimerval often = { { 0, 5000 }, { 0, 5000 } };
	int fd = openat(scratch->fd, "lock", O_RDWR);

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	if (write(2, "x", 1) == -1)
		_exit(1);
	if (lock_take(fd) == -1)
		_exit(2);
}

static void test_taking_goes_on_through_signals(void **state)
{
	struct scratch scratch;
	struct str said = { 0 };
	pid_t pid;
	int fd;

	(void)state;
	scratch_open(&scratch);
	fd = lock_open(scratch.fd, "lock", 0600);
	assert_int_not_equal(fd, -1);
	/* Releases the lock, which the child shares, some signals later. */
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		usleep(50000);
		lock_release(fd);
		_exit(0);
	}
	assert_int_equal(in_child(wait_through_signals, &scratch, &said), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(fd);
	str_free(&said);
	scratch_close(&scratch);
}

static void test_a_link_in_the_place_of_the_file_is_refused(void **state)
{
	struct scratch scratch;

	(void)state;
	scratch_open(&scratch);
	assert_int_equal(symlinkat("target", scratch.fd, "lock"), 0);
	assert_int_equal(lock_open(scratch.fd, "lock", 0600), -1);
	assert_int_equal(errno, ELOOP);
	assert_false(scratch_has(&scratch, "target"));
	scratch_close(&scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_second_opener_must_wait_until_release),
		cmocka_unit_test(test_taking_goes_on_through_signals),
		cmocka_unit_test(
			test_a_link_in_the_place_of_the_file_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
