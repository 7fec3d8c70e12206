/* What is inherited does not matter; the last words arrive. */
#include "lib/inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/linger.h"

/* Run check() in a child; it returns whether all was well. */
static void in_child(bool (*check)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(check() ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static bool fills_descriptors(void)
{
	close(0);
	close(2);
	inherit_reset();
	return fcntl(0, F_GETFD) != -1 && fcntl(2, F_GETFD) != -1 &&
	       open("/dev/null", O_RDONLY) > 2;
}

static void test_missing_descriptors_become_dev_null(void **s)
{
	(void)s;
	in_child(fills_descriptors);
}

static bool is_handled_by(int sig, void (*handler)(int))
{
	struct sigaction now;

	return sigaction(sig, NULL, &now) == 0 && now.sa_handler == handler;
}

static bool resets_signals(void)
{
	sigset_t all;
	sigset_t now;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	signal(SIGCHLD, SIG_IGN);
	signal(SIGALRM, SIG_IGN);
	inherit_reset();
	return sigprocmask(SIG_BLOCK, NULL, &now) == 0 &&
	       !sigismember(&now, SIGALRM) && is_handled_by(SIGCHLD, SIG_DFL) &&
	       is_handled_by(SIGALRM, SIG_DFL) &&
	       is_handled_by(SIGPIPE, SIG_IGN) &&
	       is_handled_by(SIGXFSZ, SIG_IGN);
}

static void test_signals_are_default_and_unblocked(void **s)
{
	(void)s;
	in_child(resets_signals);
}

static bool keeps_limits(void)
{
	struct rlimit limit = { 0 };

	if (getrlimit(RLIMIT_FSIZE, &limit) == -1)
		return false;
	limit.rlim_cur = 4096;
	if (setrlimit(RLIMIT_FSIZE, &limit) == -1)
		return false;
	umask(0777);
	inherit_reset();
	return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur == 4096 &&
	       umask(0) == 077 && getrlimit(RLIMIT_CORE, &limit) == 0 &&
	       limit.rlim_max == 0;
}

static void test_umask_and_core_are_ours_and_other_limits_stay(void **s)
{
	(void)s;
	in_child(keeps_limits);
}

static void test_nodelay_is_for_tcp_and_harmless_elsewhere(void **s)
{
	int sock = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t size = sizeof(int);
	int on = 0;

	(void)s;
	inherit_nodelay(sock);
	assert_int_equal(getsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &on, &size),
			 0);
	assert_true(on);
	close(sock);
	inherit_nodelay(-1);
}

static void test_linger_reads_until_the_peer_closes(void **s)
{
	char byte;
	int fds[2];

	(void)s;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(write(fds[1], "more", 4), 4);
	assert_int_equal(write(fds[0], "x", 1), 1);
	shutdown(fds[1], SHUT_WR);
	linger(fds[0], fds[0]);
	close(fds[0]);
	assert_int_equal(read(fds[1], &byte, 1), 1);
	assert_int_equal(read(fds[1], &byte, 1), 0);
	close(fds[1]);
}

static void test_linger_leaves_pipes_alone(void **s)
{
	int fds[2];

	(void)s;
	assert_int_equal(pipe(fds), 0);
	linger(fds[0], fds[1]); /* returns, though nobody closes */
	assert_int_equal(write(fds[1], "x", 1), 1);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_missing_descriptors_become_dev_null),
		cmocka_unit_test(test_signals_are_default_and_unblocked),
		cmocka_unit_test(
			test_umask_and_core_are_ours_and_other_limits_stay),
		cmocka_unit_test(
			test_nodelay_is_for_tcp_and_harmless_elsewhere),
		cmocka_unit_test(test_linger_reads_until_the_peer_closes),
		cmocka_unit_test(test_linger_leaves_pipes_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
