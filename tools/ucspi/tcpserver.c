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
#include "tools/ucspi/fronts.h"
#include "tools/ucspi/listen.h"
#include "tools/ucspi/proxy.h"
#include "tools/ucspi/status.h"

/* After the system had no descriptor or process for us. */
#define PAUSE_MS 1000

struct tcpserver {
	struct options o;
	int listen_fd;
	int signal_fd;
	struct status status;
	struct fronts fronts;
	struct polls polls;
	int64_t pause_until_ms;
	bool is_ending; /* when no header is awaited any more */
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
	if (status_init(&t->status, &t->o) == -1)
		cannot(&t->o, "get random bytes");
	if (t->o.proxies.count)
		fronts_init(&t->fronts, &t->o);
}

/* Complain and wait a moment: what is missing now is missing at once again. */
static void pause_accepting(struct tcpserver *t, const char *what)
{
	if (t->o.common.verbosity >= ERRORS)
		warn_errno("warning: %s", what);
	t->pause_until_ms = clock_mono_ms() + PAUSE_MS;
}

static void serve(struct tcpserver *t, const struct caller *caller)
{
	struct limits_count count = status_count(&t->status, &caller->ip);
	pid_t pid = -1;

	switch (child_spawn(&t->o, caller, &count, &pid)) {
	case CHILD_STARTED:
	case CHILD_REFUSED:
		break;
	case CHILD_IS_NEEDED:
		pid = fork();
		if (pid == 0)
			child_run(&t->o, caller, &count);
		if (pid == -1)
			pause_accepting(t,
					"dropping connection, unable to fork");
		break;
	}
	if (pid != -1)
		status_add(&t->status, pid, &caller->ip);
	close(caller->fd);
}

/* ---- the PROXY protocol ---- */

/* Its header has been asked for, or the connection is dropped. */
static void await_header(struct tcpserver *t, const struct caller *caller)
{
	if (fronts_add(&t->fronts, caller) == 0)
		return;
	pause_accepting(t, "dropping connection, unable to fork");
	close(caller->fd);
}

/*
 * Somebody who is no proxy of ours, and talks like one? Most servers speak
 * first, so this does not wait: a header that comes later is a bad command.
 */
static bool pretends(const struct tcpserver *t, const struct caller *caller)
{
	char bytes[PROXY_SIGNATURE_BYTES];
	struct str ip = { 0 };
	ssize_t got =
		recv(caller->fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);

	if (got <= 0 || !proxy_begins(view_make(bytes, (size_t)got)))
		return false;
	ipaddr_format(&ip, &caller->ip);
	if (t->o.common.verbosity >= ERRORS)
		warn("warning: dropping connection, unwanted PROXY header "
		     "from %s",
		     str_c(&ip));
	str_free(&ip);
	return true;
}

static void welcome(struct tcpserver *t, const struct caller *caller)
{
	bool any = t->o.proxies.count > 0;

	if (any && netlist_has(&t->o.proxies, &caller->ip))
		await_header(t, caller);
	else if (any && pretends(t, caller))
		close(caller->fd);
	else
		serve(t, caller);
}

/* ---- connections ---- */

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
	return t->status.count + t->fronts.count < t->status.limit &&
	       t->pause_until_ms == 0 && !t->is_ending;
}

/* False when none waits. */
static bool accept_one(struct tcpserver *t)
{
	struct sockaddr_storage remote;
	socklen_t len = sizeof(remote);
	struct caller caller = { 0 };

	caller.fd = accept4(t->listen_fd, (struct sockaddr *)&remote, &len,
			    SOCK_CLOEXEC);
	if (caller.fd == -1 && errno == EAGAIN)
		return false;
	if (caller.fd == -1) {
		if (!is_passing(errno))
			pause_accepting(t, "unable to accept a connection");
	} else if (ipaddr_from_socket((struct sockaddr *)&remote, &caller.ip,
				      &caller.port)) {
		welcome(t, &caller);
	} else {
		close(caller.fd); /* of no family that we listen for */
	}
	return true;
}

static void accept_waiting(struct tcpserver *t)
{
	while (may_accept(t) && accept_one(t))
		;
}

/* Those that proxies have announced meanwhile. */
static void serve_announced(struct tcpserver *t)
{
	struct caller caller;

	while (fronts_next(&t->fronts, &t->polls, &caller))
		serve(t, &caller);
}

static void take_signals(struct tcpserver *t)
{
	int signal_no;

	while ((signal_no = sig_next(t->signal_fd)) != 0)
		if (signal_no == SIGTERM)
			t->is_ending = true;
	status_reap(&t->status);
}

/* Wait for a signal, a connection if there is room, or the end of a pause. */
static noreturn void loop(struct tcpserver *t)
{
	while (!t->is_ending || t->fronts.count) {
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
		fronts_prepare(&t->fronts, &t->polls);
		if (polls_wait(&t->polls, deadline) == -1)
			cannot(&t->o, "poll");
		if (polls_ready(&t->polls, signal_no))
			take_signals(t);
		serve_announced(t);
		accept_waiting(t);
	}
	_exit(EXIT_DONE);
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
