/*
 * qmail-local - deliver one message as a user's .qmail file says.
 *
 * started by  qmail-lspawn, with --jobs; or by hand, with arguments
 * runs as     the user
 * fds         --jobs: 0 the socket that the job comes from and the result
 *             goes to, 2 the log; else 0 the message, 1 and 2 the report
 * exits       --jobs: EXIT_DONE once the result is sent; else EXIT_DONE
 *             delivered, EXIT_REJECT failed for good, EXIT_RETRY deferred
 */
#include <sys/stat.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/message.h"
#include "lib/out.h"
#include "lib/packet.h"
#include "lib/sig.h"
#include "local/deliver.h"

static noreturn void usage(void)
{
	die(EXIT_REJECT, "usage: qmail-local [ -nN ] user homedir local dash "
			 "ext domain sender defaultdelivery");
}

/* ---- called by qmail-lspawn ---- */

/* No string that becomes a path, a variable or an argument may hold one. */
static bool has_nul(const struct job *job)
{
	return view_has(job->user, '\0') || view_has(job->home, '\0') ||
	       view_has(job->local, '\0') || view_has(job->dash, '\0') ||
	       view_has(job->ext, '\0') || view_has(job->domain, '\0') ||
	       view_has(job->sender, '\0') ||
	       view_has(job->default_delivery, '\0');
}

static void run_job(const struct job *job, struct verdict *verdict)
{
	static const int caught[] = { SIGCHLD };
	struct deliver d = { .job = job };

	if (has_nul(job) || !view_starts(job->home, VIEW("/"))) {
		verdict_defer(verdict, "The job makes no sense to "
				       "qmail-local. (#4.3.0)");
		return;
	}
	d.signals = sig_open(caught, COUNT_OF(caught));
	if (d.signals == -1)
		die_errno(EXIT_RETRY, "cannot catch signals");
	deliver_run(&d);
	close(d.signals);
	*verdict = d.verdict;
	d.verdict.text = (struct str){ 0 };
	deliver_free(&d);
}

static void send_result(const struct job *job, const struct verdict *verdict)
{
	struct view recipients = job->recipients;
	struct str packet = { 0 };
	struct job_recipient rcpt;

	job_result_begin(&packet, job->number);
	while (job_next(&recipients, &rcpt))
		job_result_add(&packet, rcpt.number, verdict->outcome,
			       str_view(&verdict->text));
	if (packet_send(STDIN_FILENO, str_view(&packet), -1) != PACKET_OK)
		die_errno(EXIT_RETRY, "cannot report the result");
	str_free(&packet);
}

static int serve_job(void)
{
	struct verdict verdict = { .outcome = JOB_DEFERRED };
	struct str packet = { 0 };
	struct job job;
	int fd;

	/* qmail-lspawn ends what takes too long, and all it has started. */
	if (setpgid(0, 0) == -1)
		warn_errno("cannot lead a process group");
	if (packet_receive(STDIN_FILENO, &packet, &fd) != PACKET_OK)
		die(EXIT_RETRY, "got no job");
	if (job_parse(str_view(&packet), fd, &job) == -1)
		die(EXIT_RETRY, "cannot understand the job");
	run_job(&job, &verdict);
	send_result(&job, &verdict);
	str_free(&verdict.text);
	str_free(&packet);
	if (fd != -1)
		close(fd);
	return EXIT_DONE;
}

/* ---- called by hand ---- */

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
		return serve_job();
	while ((option = getopt(argc, argv, "+nN")) != -1) {
		if (option != 'n' && option != 'N')
			usage();
		dry_run = option == 'n';
	}
	if (argc - optind != 8)
		usage();
	return deliver_by_hand(argv + optind, dry_run);
}
