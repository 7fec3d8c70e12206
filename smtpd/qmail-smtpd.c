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
#include <unistd.h>

#include "lib/die.h"
#include "lib/enqueue.h"
#include "lib/home.h"
#include "lib/inherit.h"
#include "lib/memory.h"
#include "lib/sandbox.h"
#include "smtpd/policy.h"
#include "smtpd/session.h"

/*
 * All is open but the connection to qmail-queued. QMAILQUEUE's program would
 * inherit the sandbox: somebody outside runs it.
 */
static int confine(struct launcher *launcher, int homefd)
{
	struct sandbox sandbox = {
		.name = "qmail-smtpd",
		.calls = SANDBOX_IO | SANDBOX_UNIX_CLIENT,
		.max_fds = 64,
		.quiet = true,
	};

	if (enqueue_launcher(launcher, homefd) == -1)
		return -1;
	if (launcher->sock != -1)
		sandbox.calls |= SANDBOX_PACKET;
	return sandbox_enter(&sandbox);
}

static noreturn void die_unconfined(void)
{
	struct view reply = VIEW("421 unable to serve you now (#4.3.0)\r\n");

	warn_errno("cannot enter the sandbox");
	if (write_all(STDOUT_FILENO, reply) == -1) {
		/* The client is gone, too. */
	}
	_exit(EXIT_RETRY);
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
	struct launcher launcher;
	struct policy policy;
	const char *what = "home";
	int homefd;

	(void)argv;
	die_name("qmail-smtpd");
	inherit_reset();
	if (argc != 1)
		die(EXIT_REJECT, "usage: qmail-smtpd");
	memory_keep();
	inherit_nodelay(STDOUT_FILENO);
	homefd = home_open();
	if (homefd == -1 || policy_load(&policy, homefd, &what) == -1)
		die_controls(what);
	if (confine(&launcher, homefd) == -1)
		die_unconfined();
	session_init(&session, homefd, &policy);
	session.launcher = &launcher;
	if (session_serve(&session) == -1)
		session_log(&session, "lost: cannot write to the client",
			    view_make(NULL, 0));
	session_free(&session);
	policy_free(&policy);
	return EXIT_DONE;
}
