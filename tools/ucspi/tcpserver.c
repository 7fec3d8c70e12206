/*
 * tcpserver - accept TCP connections and run a program for each.
 *
 * started by  a service's run script
 * runs as     root until the port is bound; then as -u and -g say
 * fds         1 the port number with -1, then nothing; 2 the log
 * exits       EXIT_DONE on SIGTERM (children go on), EXIT_REJECT for misuse,
 *             EXIT_RETRY when it cannot listen
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/die.h"
#include "lib/ids.h"
#include "lib/inherit.h"
#include "lib/memory.h"
#include "lib/out.h"
#include "lib/polls.h"
#include "lib/sig.h"
#include "tools/ucspi/child.h"
#include "tools/ucspi/listen.h"
#include "tools/ucspi/status.h"

/* After the system had no descriptor or process for us. */
#define PAUSE_MS 1000

struct tcpserver {
	struct options o;
	int listen_fd;
	int signal_fd;
	struct status status;
	struct polls polls;
	int64_t pause_until_ms;
};

static noreturn void cannot(const struct options *o, const char *what)
{
	if (o->common.verbosity >= ERRORS)
		warn_errno("fatal: unable to %s", what);
	_exit(EXIT_RETRY);
}

static void drop_privileges(const struct options *o)
{
	uid_t uid = o->change_uid ? o->uid : geteuid();
	gid_t gid = o->change_gid ? o->gid : getegid();

	if ((o->change_uid || o->change_gid) && ids_become(uid, gid) == -1)
		cannot(o, "set uid and gid");
}

static void print_port(const struct options *o, unsigned port)
{
	struct str line = { 0 };

	str_appendf(&line, "%u\n", port);
	if (write_all(STDOUT_FILENO, str_view(&line)) == -1)
		cannot(o, "print the port number");
	str_free(&line);
}

/* Whoever reads our output sees its end; nobody's input is ours. */
static void let_go_of_stdio(const struct options *o)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null == -1 || dup2(null, STDIN_FILENO) == -1 ||
	    dup2(null, STDOUT_FILENO) == -1)
		cannot(o, "open /dev/null");
	close(null);
}

static void start(struct tcpserver *t)
{
	static const int signals[] = { SIGCHLD, SIGTERM };
	unsigned port;

	t->signal_fd = sig_open(signals, COUNT_OF(signals));
	if (t->signal_fd == -1)
		cannot(&t->o, "watch signals");
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	t->listen_fd = listen_open(&t->o, &port);
	drop_privileges(&t->o);
	if (t->o.print_port)
		print_port(&t->o, port);
	let_go_of_stdio(&t->o);
	status_init(&t->status, &t->o);
}

/* Complain and wait a moment: what is missing now is missing at once again. */
static void pause_accepting(struct tcpserver *t, const char *what)
{
	if (t->o.common.verbosity >= ERRORS)
		warn_errno("warning: %s", what);
	t->pause_until_ms = clock_mono_ms() + PAUSE_MS;
}

static void serve(struct tcpserver *t, int fd, const struct sockaddr *remote)
{
	pid_t pid = child_spawn(&t->o, fd, remote);

	if (pid == 0) {
		pid = fork();
		if (pid == 0)
			child_run(&t->o, fd, remote);
	}
	if (pid == -1)
		pause_accepting(t, "dropping connection, unable to fork");
	else
		status_add(&t->status, pid);
	close(fd);
}

/* Failures that belong to one connection, which is gone. */
static bool is_passing(int error)
{
	return error == ECONNABORTED || error == EINTR || error == EPROTO ||
	       error == ENETDOWN || error == ENOPROTOOPT ||
	       error == EHOSTDOWN || error == ENONET || error == EHOSTUNREACH ||
	       error == EOPNOTSUPP || error == ENETUNREACH || error == EPERM ||
	       error == ETIMEDOUT;
}

static bool may_accept(const struct tcpserver *t)
{
	return !status_full(&t->status) && t->pause_until_ms == 0;
}

static void accept_waiting(struct tcpserver *t)
{
	while (may_accept(t)) {
		struct sockaddr_storage remote;
		socklen_t len = sizeof(remote);
		int fd = accept4(t->listen_fd, (struct sockaddr *)&remote, &len,
				 SOCK_CLOEXEC);

		if (fd != -1)
			serve(t, fd, (struct sockaddr *)&remote);
		else if (errno == EAGAIN)
			return;
		else if (!is_passing(errno))
			pause_accepting(t, "unable to accept a connection");
	}
}

static void take_signals(struct tcpserver *t)
{
	int signal_no;

	while ((signal_no = sig_next(t->signal_fd)) != 0)
		if (signal_no == SIGTERM)
			_exit(EXIT_DONE);
	status_reap(&t->status);
}

/* Wait for a signal, a connection if there is room, or the end of a pause. */
static noreturn void loop(struct tcpserver *t)
{
	for (;;) {
		int64_t deadline = POLLS_NEVER;
		size_t signal_no;

		if (t->pause_until_ms && clock_mono_ms() >= t->pause_until_ms)
			t->pause_until_ms = 0;
		if (t->pause_until_ms)
			polls_until(&deadline, t->pause_until_ms);
		polls_reset(&t->polls);
		signal_no = polls_add(&t->polls, t->signal_fd, POLLIN);
		if (may_accept(t))
			polls_add(&t->polls, t->listen_fd, POLLIN);
		if (polls_wait(&t->polls, deadline) == -1)
			cannot(&t->o, "poll");
		if (polls_ready(&t->polls, signal_no))
			take_signals(t);
		accept_waiting(t);
	}
}

int main(int argc, char **argv)
{
	struct tcpserver t = { 0 };

	die_name("tcpserver");
	memory_patient();
	inherit_descriptors(); /* no connection lands on 0, 1 or 2 */
	options_parse(&t.o, argc, argv);
	start(&t);
	loop(&t);
}
