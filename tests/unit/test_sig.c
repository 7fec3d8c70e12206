#include "lib/sig.h"

#include <errno.h>
#include <poll.h>
#include <sys/resource.h>

#include "tests/unit/unit.h"

static void test_blocked_signals_become_readable(void **state)
{
	static const int signals[] = { SIGTERM, SIGHUP };
	struct pollfd ready = { .events = POLLIN };
	int first;
	int second;

	(void)state;
	ready.fd = sig_open(signals, COUNT_OF(signals));
	assert_int_not_equal(ready.fd, -1);
	assert_true(fcntl(ready.fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(sig_next(ready.fd), 0);
	raise(SIGTERM);
	raise(SIGHUP);
	raise(SIGHUP); /* two of a kind that wait are one */
	assert_int_equal(poll(&ready, 1, 10000), 1);
	first = sig_next(ready.fd);
	second = sig_next(ready.fd);
	assert_true((first == SIGHUP && second == SIGTERM) ||
		    (first == SIGTERM && second == SIGHUP));
	assert_int_equal(sig_next(ready.fd), 0);
	close(ready.fd);
}

static void exceed_file_size(void *arg)
{
	struct rlimit none = { 0, 0 };
	struct scratch *scratch = arg;
	int fds[2];
	int fd = openat(scratch->fd, "f", O_WRONLY | O_CREAT, 0600);

	sig_ignore_write_signals();
	setrlimit(RLIMIT_FSIZE, &none);
	if (write(fd, "x", 1) != -1 || errno != EFBIG)
		_exit(1);
	if (pipe(fds) == -1)
		_exit(2);
	close(fds[0]);
	if (write(fds[1], "x", 1) != -1 || errno != EPIPE)
		_exit(3);
	sig_reset_all();
	if (write(fds[1], "x", 1) == -1)
		_exit(4); /* SIGPIPE should have ended us */
}

static void test_writes_fail_instead_of_killing_until_reset(void **state)
{
	struct scratch scratch;
	struct str said = { 0 };

	(void)state;
	scratch_open(&scratch);
	assert_int_equal(in_child(exceed_file_size, &scratch, &said), -1);
	str_free(&said);
	scratch_close(&scratch);
}

static void odd_inheritance(void *arg)
{
	struct sigaction action;
	sigset_t set;

	(void)arg;
	sigfillset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	signal(SIGALRM, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);
	sig_reset_all();
	sigprocmask(SIG_SETMASK, NULL, &set);
	for (int sig = 1; sig < 32; sig++) {
		if (sigismember(&set, sig))
			_exit(sig);
		sigaction(sig, NULL, &action);
		if (action.sa_handler != SIG_DFL)
			_exit(64 + sig);
	}
}

static void test_reset_undoes_whatever_was_inherited(void **state)
{
	struct str said = { 0 };

	(void)state;
	assert_int_equal(in_child(odd_inheritance, NULL, &said), 0);
	str_free(&said);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocked_signals_become_readable),
		cmocka_unit_test(
			test_writes_fail_instead_of_killing_until_reset),
		cmocka_unit_test(test_reset_undoes_whatever_was_inherited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
