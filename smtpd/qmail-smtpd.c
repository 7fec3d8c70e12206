/*
 * qmail-smtpd - take mail from one SMTP client.
 *
 * started by  tcpserver, once a connection
 * runs as     qmaild, who can read control/ and talk to qmail-queued
 * fds         0 and 1 the client, 2 the log
 * exits       EXIT_DONE when the session is over, EXIT_REJECT for misuse,
 *             EXIT_RETRY when control/ cannot be read
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/home.h"
#include "lib/sig.h"
#include "smtpd/policy.h"
#include "smtpd/session.h"

/* Nothing that we open may become the client or the log. */
static void guard_descriptors(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", O_RDWR) != fd)
			_exit(EXIT_RETRY);
}

/* What the caller left us must not matter. */
static void forget_inheritance(void)
{
	struct rlimit none = { 0 };

	guard_descriptors();
	sig_reset_all();
	sig_ignore_write_signals();
	setrlimit(RLIMIT_CORE, &none);
}

/* Small replies must not wait for acknowledgements. */
static void send_at_once(int fd)
{
	int on = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == -1) {
		/* A pipe, or a Unix socket: neither waits. */
	}
}

static noreturn void die_controls(const char *what)
{
	struct view reply = VIEW("421 unable to read controls (#4.3.0)\r\n");

	warn_errno("unable to read %s", what);
	if (write_all(STDOUT_FILENO, reply) == -1) {
		/* The client is gone, too. */
	}
	_exit(EXIT_RETRY);
}

int main(int argc, char **argv)
{
	static struct session session;
	struct policy policy;
	const char *what = "home";
	int homefd;

	(void)argv;
	die_name("qmail-smtpd");
	forget_inheritance();
	if (argc != 1)
		die(EXIT_REJECT, "usage: qmail-smtpd");
	send_at_once(STDOUT_FILENO);
	homefd = home_open();
	if (homefd == -1 || policy_load(&policy, homefd, &what) == -1)
		die_controls(what);
	session_init(&session, homefd, &policy);
	if (session_serve(&session) == -1)
		session_log(&session, "lost: cannot write to the client",
			    view_make(NULL, 0));
	session_free(&session);
	policy_free(&policy);
	return EXIT_DONE;
}
