/*
 * qmail-send - deliver the messages of the queue.
 *
 * started by  qmail-start, which becomes it
 * runs as     qmails
 * fds         0 the log, 1 and 2 to and from qmail-lspawn, 3 and 4 to and
 *             from qmail-rspawn (each pair may be one socket); 5 and 6 are
 *             reserved; 7, if it is open, a socket whose other end belongs
 *             to a qmail-queued that ends with us
 * signals     TERM: finish what is under way, then exit; ALRM: everything
 *             is due now; HUP: read locals and virtualdomains again
 * exits       EXIT_DONE after TERM, EXIT_RETRY when it cannot start, a
 *             spawner is gone, or that qmail-queued
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/die.h"
#include "lib/enqueue.h"
#include "lib/home.h"
#include "lib/memory.h"
#include "lib/random.h"
#include "lib/sandbox.h"
#include "lib/sig.h"
#include "send/jobs.h"
#include "send/send.h"
#include "send/turns.h"

#define HELLO_WAIT_MS 60000
#define QUEUED_FD 7
#define OTHER_FDS 64
#define MOVED_FD 10         /* our descriptors lie from here on */
#define CLOCK_TOLERANCE_S 2 /* a smaller step back is none */

struct loop {
	struct send send;
	int signals;
	size_t signals_no;
	int queued; /* see QUEUED_FD; -1: not ours to watch */
	size_t queued_no;
	struct polls polls;
	int64_t clock_offset_s; /* wall clock - monotonic */
};

static noreturn void cannot_start(struct send *s, const char *why)
{
	log_line(&s->log, "alert: cannot start: %s", why);
	_exit(EXIT_RETRY);
}

/* ---- starting ---- */

static int move_fd(int fd)
{
	int moved = fcntl(fd, F_DUPFD_CLOEXEC, MOVED_FD);

	close(fd);
	return moved;
}

static int find_queued(void)
{
	struct stat st;

	if (fstat(QUEUED_FD, &st) == -1 || !S_ISSOCK(st.st_mode) ||
	    fcntl(QUEUED_FD, F_SETFD, FD_CLOEXEC) == -1)
		return -1;
	return QUEUED_FD;
}

/*
 * Out of the way of 0, 1 and 2, which libraries and children know as input,
 * output and errors; errors go to the log from here on.
 */
static void move_descriptors(struct loop *loop)
{
	struct send *s = &loop->send;
	int fds[5];
	int null;

	for (int fd = 0; fd < 5; fd++)
		fds[fd] = move_fd(fd);
	null = open("/dev/null", O_RDWR);
	if (null != 0 || dup2(0, 1) != 1 || dup2(fds[0], 2) != 2)
		_exit(EXIT_RETRY);
	loop->queued = find_queued();
	s->log.fd = fds[0];
	s->channels[DUE_LOCAL].name = "local";
	s->channels[DUE_LOCAL].out = fds[1];
	s->channels[DUE_LOCAL].in = fds[2];
	s->channels[DUE_REMOTE].name = "remote";
	s->channels[DUE_REMOTE].out = fds[3];
	s->channels[DUE_REMOTE].in = fds[4];
}

static void load_control(struct send *s)
{
	const char *file;

	if (config_load(&s->config, s->homefd, &file) == -1 ||
	    rewrite_load(&s->rewrite, s->homefd, &file) == -1) {
		log_errno(&s->log,
			  "alert: cannot start: unable to read controls: "
			  "control/%s",
			  file);
		_exit(EXIT_RETRY);
	}
	s->channels[DUE_LOCAL].concurrency = s->config.concurrency_local;
	s->channels[DUE_REMOTE].concurrency = s->config.concurrency_remote;
}

static void load_format(struct send *s)
{
	switch (qformat_load(s->homefd, &s->format)) {
	case QFORMAT_OK:
		return;
	case QFORMAT_ABSENT:
		cannot_start(s, "there is no queue/format");
	case QFORMAT_NEWER:
		cannot_start(s, "queue/format is of a later version");
	case QFORMAT_ERROR:
		break;
	}
	log_errno(&s->log, "alert: cannot start: unable to read queue/format");
	_exit(EXIT_RETRY);
}

/*
 * It needs the queue, its settings again at SIGHUP and, in the children that
 * queue bounces, qmail-queued. QMAILQUEUE's program would inherit the
 * sandbox: somebody outside runs it.
 */
static int confine(struct send *s)
{
	const struct landlock_path paths[] = {
		{ s->homefd, "queue",
		  LANDLOCK_READ | LANDLOCK_WRITE | LANDLOCK_MOVE },
		{ s->homefd, "control", LANDLOCK_READ },
	};
	const struct sandbox sandbox = {
		.name = "qmail-send",
		.calls = SANDBOX_IO | SANDBOX_FILES_READ | SANDBOX_FILES_WRITE |
			 SANDBOX_UNIX_CLIENT | SANDBOX_PACKET | SANDBOX_FORK,
		.paths = paths,
		.path_count = COUNT_OF(paths),
	};

	if (enqueue_launcher(&s->launcher, s->homefd) == -1)
		return -1;
	return sandbox_enter(&sandbox);
}

static void catch_signals(struct loop *loop)
{
	static const int signals[] = { SIGTERM, SIGALRM, SIGHUP };

	sig_ignore_write_signals();
	signal(SIGCHLD, SIG_DFL);
	loop->signals = sig_open(signals, COUNT_OF(signals));
	if (loop->signals == -1)
		cannot_start(&loop->send, "unable to catch signals");
}

/*
 * Each open message has a file, perhaps a memfd, and there may be as many
 * fresh ones as old ones on each channel.
 */
static void allow_descriptors(const struct send *s)
{
	rlim_t need = OTHER_FDS;
	struct rlimit limit;

	for (int c = 0; c < CHANNELS; c++)
		need += (rlim_t)4 * s->channels[c].concurrency;
	/* Remote ones may be paused, as many again. */
	need += (rlim_t)4 * s->channels[DUE_REMOTE].concurrency;
	if (getrlimit(RLIMIT_NOFILE, &limit) == -1 || limit.rlim_cur >= need)
		return;
	limit.rlim_cur = need < limit.rlim_max ? need : limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) == -1) {
		/* Messages that cannot be opened will be tried later. */
	}
}

static void start(struct loop *loop)
{
	struct send *s = &loop->send;
	uint64_t seed;

	memory_patient();
	umask(077);
	move_descriptors(loop);
	s->homefd = home_open();
	if (s->homefd == -1)
		cannot_start(s, "unable to switch to home directory");
	catch_signals(loop);
	load_control(s);
	load_format(s);
	if (confine(s) == -1)
		cannot_start(s, "unable to enter the sandbox");
	if (take_open(s) == -1)
		_exit(EXIT_RETRY);
	logged_open(s);
	for (int c = 0; c < CHANNELS; c++)
		if (channel_open(&s->channels[c], HELLO_WAIT_MS) == -1)
			cannot_start(s, "hath the daemon spawn no fire?");
	if (random_fill(&seed, sizeof(seed)) == -1)
		cannot_start(s, "unable to get random bytes");
	destinations_init(&s->destinations, s->channels[DUE_REMOTE].concurrency,
			  &s->schedule, seed);
	allow_descriptors(s);
	s->now = clock_wall_s();
	loop->clock_offset_s = s->now - clock_mono_ms() / 1000;
	if (take_start(s) == -1)
		_exit(EXIT_RETRY);
	s->again = true; /* new/ may hold what was never triggered */
	log_line(&s->log, "running");
	jobs_log_status(s);
}

/* ---- the loop ---- */

/*
 * Attempts are due by the wall clock. When it is set back, what waits stays
 * as far away as it was. When it is set forward, it is due, but nothing is
 * given up before its time.
 */
static void read_clock(struct loop *loop)
{
	struct send *s = &loop->send;
	int64_t offset;

	s->now = clock_wall_s();
	offset = s->now - clock_mono_ms() / 1000;
	if (offset < loop->clock_offset_s - CLOCK_TOLERANCE_S) {
		int64_t back = loop->clock_offset_s - offset;

		log_line(&s->log,
			 "warning: the clock was set back by %ld seconds",
			 (long)back);
		schedule_shift(&s->schedule, back);
		s->jump_s = s->jump_s > back ? s->jump_s - back : 0;
		loop->clock_offset_s = offset;
	}
	if (offset > loop->clock_offset_s + CLOCK_TOLERANCE_S) {
		int64_t forth = offset - loop->clock_offset_s;

		log_line(&s->log,
			 "warning: the clock was set forward by %ld seconds",
			 (long)forth);
		s->jump_s += forth;
		s->jump_until_s = s->now - forth;
	}
	if (offset > loop->clock_offset_s)
		loop->clock_offset_s = offset;
}

static void begin_exit(struct send *s)
{
	if (s->exiting)
		return;
	s->exiting = true;
	logged_ending(s);
	log_line(&s->log, "number of deliveries left before exit: %lu",
		 (unsigned long)jobs_in_flight(s));
	jobs_log_status(s);
}

static void reread_control(struct send *s)
{
	const char *file;

	if (rewrite_reload(&s->rewrite, s->homefd, &file) == -1)
		log_errno(&s->log, "alert: unable to reread control/%s", file);
}

static void obey_signals(struct loop *loop)
{
	struct send *s = &loop->send;
	int sig;

	while ((sig = sig_next(loop->signals))) {
		if (sig == SIGTERM)
			begin_exit(s);
		if (sig == SIGALRM) {
			destinations_forgive(&s->destinations);
			schedule_run_all(&s->schedule, s->now);
			logged_run_all(s);
			take_look(s);
		}
		if (sig == SIGHUP)
			reread_control(s);
	}
}

static void wait_for_events(struct loop *loop)
{
	struct send *s = &loop->send;
	int64_t deadline = s->again ? 0 : POLLS_NEVER;

	log_flush(&s->log);
	s->again = false;
	polls_reset(&loop->polls);
	loop->signals_no = polls_add(&loop->polls, loop->signals, POLLIN);
	if (loop->queued != -1)
		loop->queued_no = polls_add(&loop->polls, loop->queued, POLLIN);
	for (int c = 0; c < CHANNELS; c++)
		channel_prepare(&s->channels[c], &loop->polls);
	take_prepare(s, &loop->polls, &deadline);
	logged_prepare(s, &loop->polls, &deadline);
	finish_prepare(s, &loop->polls, &deadline);
	turns_prepare(s, &deadline);
	if (polls_wait(&loop->polls, deadline) == -1)
		die_errno(EXIT_RETRY, "poll");
}

/* Without it nothing can be queued, not even a bounce. */
static void watch_queued(struct loop *loop)
{
	struct send *s = &loop->send;

	if (loop->queued == -1 || !polls_ready(&loop->polls, loop->queued_no))
		return;
	log_line(&s->log, "alert: oh no! lost qmail-queued! dying...");
	close(loop->queued);
	loop->queued = -1;
	s->lost = true;
	s->exiting = true;
}

static bool may_exit(const struct send *s)
{
	return s->exiting && jobs_in_flight(s) == 0 && s->finish.running == 0;
}

static void run(struct loop *loop)
{
	struct send *s = &loop->send;

	while (!may_exit(s)) {
		wait_for_events(loop);
		read_clock(loop);
		obey_signals(loop);
		watch_queued(loop);
		turns_send_pending(s, &loop->polls);
		turns_results(s);
		finish_act(s, &loop->polls);
		take_act(s, &loop->polls);
		logged_act(s, &loop->polls);
		take_run(s);
		finish_start(s);
		turns_start(s);
		logged_run(s);
	}
}

int main(int argc, char **argv)
{
	static struct loop loop;

	(void)argv;
	die_name("alert: qmail-send");
	if (argc != 1)
		die(EXIT_REJECT, "usage: qmail-send (started by qmail-start)");
	start(&loop);
	loop.send.log.gathers = true;
	run(&loop);
	log_line(&loop.send.log, "status: exiting");
	log_flush(&loop.send.log);
	return loop.send.lost ? EXIT_RETRY : EXIT_DONE;
}
