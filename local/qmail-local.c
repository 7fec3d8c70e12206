/*
 * qmail-local - deliver one message as a user's .qmail file says.
 *
 * started by  qmail-lspawn, with --jobs; or by hand, with arguments
 * runs as     the user
 * fds         --jobs: 0 the socket that jobs come from and results go to,
 *             2 the log; else 0 the message, 1 and 2 the report
 * exits       --jobs: EXIT_DONE once no more jobs are wanted; else EXIT_DONE
 *             delivered, EXIT_REJECT failed for good, EXIT_RETRY deferred
 */
#include <sys/stat.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/message.h"
#include "lib/out.h"
#include "lib/sig.h"
#include "local/deliver.h"
#include "local/worker.h"

static noreturn void usage(void)
{
	die(EXIT_REJECT, "usage: qmail-local [ -nN ] user homedir local dash "
			 "ext domain sender defaultdelivery");
}

/* What delivery says goes where qmail-local's words went. */
static int conclude(const struct verdict *verdict)
{
	bool is_good = verdict->outcome == JOB_DELIVERED;
	int fd = is_good ? STDOUT_FILENO : STDERR_FILENO;

	if (write_all(fd, str_view(&verdict->text)) == -1)
		return EXIT_RETRY;
	switch (verdict->outcome) {
	case JOB_DELIVERED:
		return EXIT_DONE;
	case JOB_FAILED:
		return EXIT_REJECT;
	case JOB_DEFERRED:
		break;
	}
	return EXIT_RETRY;
}

static int deliver_by_hand(char *const *args, bool dry_run)
{
	struct job job = {
		.user = view_of(args[0]),
		.home = view_of(args[1]),
		.local = view_of(args[2]),
		.dash = view_of(args[3]),
		.ext = view_of(args[4]),
		.domain = view_of(args[5]),
		.sender = view_of(args[6]),
		.default_delivery = view_of(args[7]),
		.fd = -1,
	};
	struct deliver d = { .job = &job, .dry_run = dry_run, .signals = -1 };
	int code;

	if (!view_starts(job.home, VIEW("/")))
		usage();
	if (!dry_run) {
		job.fd = message_slurp(STDIN_FILENO, &job.size);
		if (job.fd == -1)
			die_errno(EXIT_RETRY, "cannot read the message");
	}
	deliver_run(&d);
	code = conclude(&d.verdict);
	deliver_free(&d);
	if (job.fd != -1)
		close(job.fd);
	return code;
}

int main(int argc, char **argv)
{
	bool dry_run = false;
	int option;

	die_name("qmail-local");
	umask(077);
	sig_ignore_write_signals();
	if (argc == 2 && view_eq(view_of(argv[1]), VIEW("--jobs")))
		return worker_serve();
	while ((option = getopt(argc, argv, "+nN")) != -1) {
		if (option != 'n' && option != 'N')
			usage();
		dry_run = option == 'n';
	}
	if (argc - optind != 8)
		usage();
	return deliver_by_hand(argv + optind, dry_run);
}
