/*
 * vdelivermail - deliver one message to a mailbox of a virtual domain.
 *
 * started by  qmail-local, from the domain's .qmail-default:
 *             | vdelivermail '' bounce-no-mailbox
 * runs as     the owner of the domain, in its directory
 * fds         0 the message, 1 what the sender may be told
 * exits       0 delivered; 99 delivered, and the rest of .qmail-default is
 *             void; EXIT_REJECT failed for good; EXIT_RETRY try later
 *
 * EXT is the user and HOST his domain; SENDER, NEWSENDER, RPLINE and DTLINE
 * as qmail-command(8) has them.
 */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/die.h"
#include "lib/message.h"
#include "lib/out.h"
#include "lib/sig.h"
#include "local/vdeliver.h"

#define EXIT_DONE_STOP 99

static void need(const char *name)
{
	if (!getenv(name))
		die(EXIT_RETRY, "%s is not in the environment", name);
}

static int conclude(const struct vdeliver *v)
{
	/* Nobody can be told that nobody can be told. */
	if (write_all(STDOUT_FILENO, str_view(&v->verdict.text)) == -1 &&
	    v->verdict.outcome != JOB_DELIVERED)
		warn_errno("cannot write the report");
	switch (v->verdict.outcome) {
	case JOB_DELIVERED:
		return v->stop ? EXIT_DONE_STOP : EXIT_DONE;
	case JOB_FAILED:
		return EXIT_REJECT;
	case JOB_DEFERRED:
		break;
	}
	return EXIT_RETRY;
}

int main(int argc, char **argv)
{
	struct envelope envelope = { 0 };
	struct job job = { .fd = -1 };
	struct vdeliver v = {
		.job = &job,
		.envelope = &envelope,
		.signals = -1,
	};
	int code;

	die_name("vdelivermail");
	umask(077);
	sig_ignore_write_signals();
	if (argc != 3)
		die(EXIT_RETRY, "usage: vdelivermail '' "
				"delete|bounce-no-mailbox|address|directory");
	if (getuid() == 0)
		die(EXIT_RETRY, "refusing to deliver as root");
	v.fallback = argv[2];
	need("EXT");
	need("HOST");
	vdeliver_environment(&v, &job, &envelope);
	/* No queue's name: the file gets one made of the time. */
	job.id = (uint64_t)clock_wall_us();
	job.fd = message_slurp(STDIN_FILENO, &job.size);
	if (job.fd == -1)
		die_errno(EXIT_RETRY, "cannot read the message");
	vdeliver_run(&v);
	code = conclude(&v);
	vdeliver_free(&v);
	envelope_free(&envelope);
	return code;
}
