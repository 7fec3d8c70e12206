#include "remote/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/die.h"
#include "lib/openfds.h"
#include "lib/packet.h"
#include "remote/deliver.h"

#define JOB_FD 0
#define MAX_JOBS 100
/* How long a server must bear a connection on which nothing happens. */
#define CONNECTION_IDLE_MS 5000

struct worker {
	struct deliver deliver;
	struct str packet;
	struct str result;
	uint64_t jobs; /* taken so far */
	uint64_t open_fds;
};

/* ---- what tests want ---- */

#ifdef VALIJA_TEST

static int64_t connection_idle_ms(void)
{
	uint64_t ms;

	if (view_u64(view_of(getenv("VALIJA_TEST_CONNECTION_MS")), &ms) &&
	    ms < INT32_MAX)
		return (int64_t)ms;
	return CONNECTION_IDLE_MS;
}

/* So that a test may look at a worker after more than the usual jobs. */
static bool is_for_ever(void)
{
	return getenv("VALIJA_TEST_WORKER_STAYS");
}

static void leak_for_test(void)
{
	if (getenv("VALIJA_TEST_WORKER_LEAKS") &&
	    fcntl(JOB_FD, F_DUPFD_CLOEXEC, 0) == -1)
		warn_errno("cannot leak");
}

#else

static int64_t connection_idle_ms(void)
{
	return CONNECTION_IDLE_MS;
}

static bool is_for_ever(void)
{
	return false;
}

static void leak_for_test(void)
{
}

#endif

/* ---- one job ---- */

/* Is everything as before the first one, but for a connection? */
static bool is_clean(const struct worker *w)
{
	return openfds_count() ==
	       w->open_fds + (w->open_fds && w->deliver.session.is_open);
}

static bool may_stay(const struct worker *w)
{
	return !w->deliver.in_trouble &&
	       (w->jobs < MAX_JOBS || is_for_ever()) && is_clean(w);
}

static void send_result(struct worker *w, const struct outcome *outcome,
			uint64_t number, bool stays)
{
	outcome_result(outcome, number, &w->result);
	if (stays)
		job_result_stays(&w->result);
	if (packet_send(JOB_FD, str_view(&w->result), -1) != PACKET_OK)
		die_errno(EXIT_RETRY, "cannot report the result");
}

/* True: and the next one. */
static bool serve_job(struct worker *w, int fd)
{
	struct outcome outcome = { .letter = JOB_DEFERRED };
	struct job_recipient rcpt;
	struct view recipients;
	struct job job;
	bool stays;

	if (job_parse(str_view(&w->packet), fd, &job) == -1)
		die(EXIT_RETRY, "cannot understand the job");
	for (recipients = job.recipients; job_next(&recipients, &rcpt);)
		outcome_add(&outcome, rcpt.number, rcpt.address);
	w->jobs++;
	deliver_remote(&w->deliver, &job, &outcome);
	leak_for_test();
	if (fd != -1)
		close(fd);
	stays = may_stay(w);
	send_result(w, &outcome, job.number, stays);
	outcome_free(&outcome);
	return stays;
}

/* ---- between jobs ---- */

/*
 * Wait for a job. Meanwhile the connection goes when it has been idle for
 * long enough, and when the server says anything, which can only be its end.
 */
static void wait_for_job(struct worker *w)
{
	struct session *session = &w->deliver.session;
	int64_t until = clock_mono_ms() + connection_idle_ms();

	while (session->is_open) {
		int64_t left = until - clock_mono_ms();
		struct pollfd fds[] = {
			{ .fd = JOB_FD, .events = POLLIN },
			{ .fd = session->client.fd, .events = POLLIN },
		};
		int ready = poll(fds, COUNT_OF(fds), left > 0 ? (int)left : 0);

		if (ready == -1 && errno == EINTR)
			continue;
		if (ready > 0 && fds[0].revents)
			return;
		session_quit(session);
	}
}

int worker_serve(int homefd)
{
	struct worker w = { .deliver = { .homefd = homefd } };
	bool stays = true;

	w.open_fds = openfds_count();
	while (stays) {
		int fd;

		wait_for_job(&w);
		switch (packet_receive(JOB_FD, &w.packet, &fd)) {
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
	deliver_free(&w.deliver);
	str_free(&w.packet);
	str_free(&w.result);
	close(homefd);
	return EXIT_DONE;
}
