#include "local/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/job.h"
#include "lib/packet.h"
#include "lib/sandbox.h"
#include "lib/sig.h"
#include "local/deliver.h"

#define MAX_JOBS 1000
#define FDS 64 /* that are watched: more than a job ever has at once */

struct worker {
	int signals;
	struct vline vline;
	struct str packet;
	struct str result;
	uint64_t jobs;          /* taken so far */
	struct pollfd fds[FDS]; /* which were open when we began */
	struct seen seen;
};

/* ---- as it was ---- */

/*
 * Look which descriptors are open, and whether a signal is there: what the
 * kernel says of each is in its revents. False when it cannot be known.
 */
static bool look_at_fds(const struct worker *w, struct pollfd *fds)
{
	int n;

	for (int i = 0; i < FDS; i++)
		fds[i] = (struct pollfd){ .fd = i };
	fds[w->signals].events = POLLIN;
	do
		n = poll(fds, FDS, 0);
	while (n == -1 && errno == EINTR);
	return n != -1;
}

/*
 * As many as before, and the same? A job takes the lowest free ones, so what
 * it has left open is among those that are watched.
 */
static bool has_same_fds(const struct worker *w, const struct pollfd *now)
{
	for (int i = 0; i < FDS; i++)
		if ((now[i].revents & POLLNVAL) !=
		    (w->fds[i].revents & POLLNVAL))
			return false;
	return true;
}

/* Back to where we were before the job. False when that is not possible. */
static bool restore(struct worker *w)
{
	bool ok = chdir("/") == 0;
	struct pollfd now[FDS];

	if (!look_at_fds(w, now))
		return false;
	if (now[w->signals].revents) {
		while (sig_next(w->signals)) {
			/* Only SIGCHLD is caught. */
		}
	}
	return ok && has_same_fds(w, now);
}

#ifdef VALIJA_TEST

/* So that a test may look at a worker after more than the usual jobs. */
static bool is_for_ever(void)
{
	return getenv("VALIJA_TEST_WORKER_STAYS");
}

static void leak_for_test(void)
{
	if (getenv("VALIJA_TEST_WORKER_LEAKS") &&
	    open("/dev/null", O_RDONLY | O_CLOEXEC) == -1)
		warn_errno("cannot leak");
}

#else

static bool is_for_ever(void)
{
	return false;
}

static void leak_for_test(void)
{
}

#endif

/* Everything is as it was; but is there a reason to end all the same? */
static bool has_served(const struct worker *w, const struct deliver *d)
{
	return d->verdict.outcome == JOB_DEFERRED || d->ran_program ||
	       w->jobs >= MAX_JOBS;
}

/* ---- one job ---- */

/* No string that becomes a path, a variable or an argument may hold one. */
static bool has_nul(const struct job *job)
{
	return view_has(job->user, '\0') || view_has(job->home, '\0') ||
	       view_has(job->local, '\0') || view_has(job->dash, '\0') ||
	       view_has(job->ext, '\0') || view_has(job->domain, '\0') ||
	       view_has(job->sender, '\0') ||
	       view_has(job->default_delivery, '\0');
}

static void run_job(struct worker *w, struct deliver *d)
{
	const struct job *job = d->job;

	d->signals = w->signals;
	d->vline = &w->vline;
	d->seen = &w->seen;
	if (has_nul(job) || !view_starts(job->home, VIEW("/")))
		verdict_defer(&d->verdict, "The job makes no sense to "
					   "qmail-local. (#4.3.0)");
	else
		deliver_run(d);
	leak_for_test();
}

static void send_result(struct worker *w, const struct deliver *d, bool stays)
{
	struct view recipients = d->job->recipients;
	struct job_recipient rcpt;

	job_result_begin(&w->result, d->job->number);
	while (job_next(&recipients, &rcpt))
		job_result_add(&w->result, rcpt.number, d->verdict.outcome,
			       str_view(&d->verdict.text));
	if (stays)
		job_result_stays(&w->result);
	if (packet_send(STDIN_FILENO, str_view(&w->result), -1) != PACKET_OK)
		die_errno(EXIT_RETRY, "cannot report the result");
}

/* True: and the next one. */
static bool serve_job(struct worker *w, int fd)
{
	struct job job;
	struct deliver d = { .job = &job };
	bool stays;

	if (job_parse(str_view(&w->packet), fd, &job) == -1)
		die(EXIT_RETRY, "cannot understand the job");
	w->jobs++;
	run_job(w, &d);
	if (fd != -1)
		close(fd);
	stays = restore(w) && (!has_served(w, &d) || is_for_ever());
	send_result(w, &d, stays);
	deliver_free(&d);
	return stays;
}

/* ---- all of them ---- */

static void worker_init(struct worker *w)
{
	static const int caught[] = { SIGCHLD };

	/* qmail-lspawn ends what takes too long, and all it has started. */
	if (setpgid(0, 0) == -1)
		warn_errno("cannot lead a process group");
	if (sandbox_hide_memory() == -1)
		die_errno(EXIT_RETRY, "cannot hide our memory");
	*w = (struct worker){ 0 };
	w->signals = sig_open(caught, COUNT_OF(caught));
	if (w->signals == -1)
		die_errno(EXIT_RETRY, "cannot catch signals");
	vline_init(&w->vline);
	if (chdir("/") == -1)
		die_errno(EXIT_RETRY, "cannot change directory to /");
	if (w->signals >= FDS || !look_at_fds(w, w->fds))
		die_errno(EXIT_RETRY, "cannot look at our descriptors");
}

static void worker_free(struct worker *w)
{
	vline_free(&w->vline);
	seen_free(&w->seen);
	str_free(&w->packet);
	str_free(&w->result);
	close(w->signals);
}

int worker_serve(void)
{
	struct worker w;
	bool stays = true;

	worker_init(&w);
	while (stays) {
		int fd;

		switch (packet_receive(STDIN_FILENO, &w.packet, &fd)) {
		case PACKET_OK:
			stays = serve_job(&w, fd);
			break;
		case PACKET_EOF:
			if (w.jobs == 0)
				die(EXIT_RETRY, "got no job");
			stays = false;
			break;
		case PACKET_AGAIN:
		case PACKET_BAD:
		case PACKET_ERROR:
			die(EXIT_RETRY, "got no job");
		}
	}
	worker_free(&w);
	return EXIT_DONE;
}
