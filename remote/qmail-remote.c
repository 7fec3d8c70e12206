/*
 * qmail-remote - send one message to another host by SMTP.
 *
 * started by  qmail-rspawn, with --jobs; or by hand, with arguments
 * runs as     qmailr
 * fds         --jobs: 0 the socket that jobs come from and results go to,
 *             2 the log; else 0 the message, 1 the report
 * exits       EXIT_DONE once the outcome is said; EXIT_RETRY when that
 *             failed
 */
#include <fcntl.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/home.h"
#include "lib/message.h"
#include "lib/out.h"
#include "lib/sandbox.h"
#include "lib/sig.h"
#include "remote/deliver.h"
#include "remote/worker.h"

/* Every host's reply is read inside. */
static int confine(int homefd)
{
	const struct landlock_path paths[] = {
		{ homefd, "control", LANDLOCK_READ },
		{ AT_FDCWD, "/etc/hosts", LANDLOCK_READ },
		{ AT_FDCWD, "/etc/resolv.conf", LANDLOCK_READ },
	};
	const struct sandbox sandbox = {
		.name = "qmail-remote",
		.calls = SANDBOX_IO | SANDBOX_FILES_READ | SANDBOX_INET_CLIENT,
		.paths = paths,
		.path_count = COUNT_OF(paths),
		.max_fds = 64,
		.quiet = true,
	};

	return sandbox_enter(&sandbox);
}

static int open_house(void)
{
	int homefd = home_open();

	if (homefd == -1)
		die_errno(EXIT_RETRY, "cannot open the home");
	if (confine(homefd) == -1)
		die_errno(EXIT_RETRY, "cannot enter the sandbox");
	return homefd;
}

static int serve_jobs(void)
{
	/* qmail-rspawn ends what takes too long. */
	if (setpgid(0, 0) == -1)
		warn_errno("cannot lead a process group");
	return worker_serve(open_house());
}

static int print(const struct outcome *outcome)
{
	struct str text = { 0 };
	int result;

	outcome_print(outcome, &text);
	result = write_all(STDOUT_FILENO, str_view(&text));
	str_free(&text);
	return result == -1 ? EXIT_RETRY : EXIT_DONE;
}

/* args: host, sender, recipients. */
static int deliver_by_hand(char *const *args)
{
	struct outcome outcome = { .letter = JOB_DEFERRED };
	struct deliver d = { 0 };
	struct job job = {
		.host = view_of(args[0]),
		.sender = view_of(args[1]),
	};
	int code;

	for (uint64_t i = 2; args[i]; i++)
		outcome_add(&outcome, i - 2, view_of(args[i]));
	job.fd = message_slurp(STDIN_FILENO, &job.size);
	if (job.fd == -1) {
		outcome_set(&outcome, JOB_DEFERRED,
			    "Unable to read message. (#4.3.0)\n");
	} else {
		d.homefd = open_house();
		deliver_remote(&d, &job, &outcome);
		deliver_free(&d);
	}
	code = print(&outcome);
	outcome_free(&outcome);
	return code;
}

int main(int argc, char **argv)
{
	struct outcome misuse = { 0 };

	die_name("qmail-remote");
	sig_ignore_write_signals();
	if (argc == 2 && view_eq(view_of(argv[1]), VIEW("--jobs")))
		return serve_jobs();
	if (argc >= 4)
		return deliver_by_hand(argv + 1);
	outcome_set(&misuse, JOB_FAILED,
		    "I (qmail-remote) was invoked improperly. (#5.3.5)\n");
	return print(&misuse);
}
