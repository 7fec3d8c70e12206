#include "lib/spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/control.h"
#include "lib/die.h"
#include "lib/memory.h"
#include "lib/packet.h"
#include "lib/sig.h"

#define JOB_FD 0
#define LOOKUP_MAX_BYTES 16384
#define FDS_OF_OURS 16
#define FDS_A_JOB 4 /* message, both ends of a pair, one to spare */
#define RETRY_MS 1000

/* ---- answers ---- */

/* A spawner whose results cannot be sent goes on: mail is being delivered. */
static void send_result(struct str *packet)
{
	switch (packet_send(JOB_FD, str_view(packet), -1)) {
	case PACKET_OK:
	case PACKET_EOF:
		break;
	case PACKET_AGAIN:
	case PACKET_BAD:
	case PACKET_ERROR:
		warn_errno("cannot report a result");
		break;
	}
	str_free(packet);
}

/* What of each outcome's text has room in a result for these recipients. */
static size_t text_share(struct view recipients)
{
	struct job_recipient rcpt;
	size_t count = 0;

	while (job_next(&recipients, &rcpt))
		count++;
	return job_text_share(count);
}

static void answer_all(uint64_t number, struct view recipients,
		       enum job_outcome outcome, struct view text)
{
	struct str packet = { 0 };
	struct job_recipient rcpt;

	text = view_first(text, text_share(recipients));
	job_result_begin(&packet, number);
	while (job_next(&recipients, &rcpt))
		job_result_add(&packet, rcpt.number, outcome, text);
	send_result(&packet);
}

void spawner_answer(struct spawner *s, struct spawner_slot *slot,
		    enum job_outcome outcome, struct view text)
{
	(void)s;
	if (slot->answered)
		return;
	slot->answered = true;
	answer_all(slot->job.number, slot->job.recipients, outcome, text);
}

/* `text`, where %s is the worker's name. */
static void defer(struct spawner *s, struct spawner_slot *slot,
		  const char *before, const char *after)
{
	struct str text = { 0 };

	str_append_c(&text, before);
	str_append_c(&text, s->ops->worker);
	str_append_c(&text, after);
	spawner_answer(s, slot, JOB_DEFERRED, str_view(&text));
	str_free(&text);
}

/* Look for a recipient's report from *at on, then from the beginning. */
static bool find_report(struct view outcomes, struct view *at,
			uint64_t recipient, struct job_report *report)
{
	while (job_next_outcome(at, report))
		if (report->recipient == recipient)
			return true;
	*at = outcomes;
	while (job_next_outcome(at, report))
		if (report->recipient == recipient)
			return true;
	*at = outcomes;
	return false;
}

/* Whether the worker's result can be for this job. */
static bool is_result(const struct spawner *s, const struct spawner_slot *slot,
		      struct job_result *result)
{
	if (job_result_parse(str_view(&s->space), result) == -1)
		return false;
	/* From one with a past it may be what it said too much before. */
	return !slot->is_kept || result->number == slot->number;
}

/*
 * Relay what the worker said, which is in s->space, recipient by recipient
 * of the job. True when it is to be kept.
 */
static bool relay(struct spawner *s, struct spawner_slot *slot)
{
	struct view recipients = slot->job.recipients;
	struct str packet = { 0 };
	struct job_result result;
	struct job_recipient rcpt;
	struct job_report report;
	struct view at;
	size_t share = text_share(recipients);

	if (!is_result(s, slot, &result)) {
		defer(s, slot, "", " said something odd.\n");
		return false;
	}
	at = result.outcomes;
	job_result_begin(&packet, slot->job.number);
	while (job_next(&recipients, &rcpt)) {
		if (!find_report(result.outcomes, &at, rcpt.number, &report)) {
			report.outcome = JOB_DEFERRED;
			report.text = VIEW("No outcome was reported.\n");
		}
		job_result_add(&packet, rcpt.number, report.outcome,
			       view_first(report.text, share));
	}
	if (result.hop_failed)
		job_result_hop_failed(&packet);
	slot->answered = true;
	send_result(&packet);
	return result.stays && result.number == slot->number;
}

/* ---- slots ---- */

static void close_fd(int *fd)
{
	if (*fd != -1)
		close(*fd);
	*fd = -1;
}

static void release(struct spawner_slot *slot)
{
	close_fd(&slot->from);
	close_fd(&slot->job.fd);
	str_free(&slot->packet);
	str_free(&slot->output);
	str_free(&slot->key);
	*slot = (struct spawner_slot){ .from = -1, .job.fd = -1 };
}

static void release_if_done(struct spawner_slot *slot)
{
	if (slot->answered && slot->pid == 0)
		release(slot);
}

static struct spawner_slot *free_slot(struct spawner *s)
{
	for (size_t i = 0; i < s->slot_count; i++)
		if (!s->slots[i].used)
			return &s->slots[i];
	return NULL;
}

static size_t used_slots(const struct spawner *s)
{
	size_t count = 0;

	for (size_t i = 0; i < s->slot_count; i++)
		count += s->slots[i].used;
	return count;
}

static void take_job(struct spawner *s, struct str *packet, int fd)
{
	struct spawner_slot *slot = free_slot(s);

	slot->used = true;
	slot->packet = *packet;
	*packet = (struct str){ 0 };
	slot->deadline_ms = clock_mono_ms() + s->timeout_ms;
	if (job_parse(str_view(&slot->packet), fd, &slot->job) == 0) {
		s->ops->start(s, slot);
	} else {
		/* Half a job would be delivered half. */
		uint64_t number;

		if (!job_number(str_view(&slot->packet), &number))
			die(EXIT_RETRY, "got a job without a number");
		warn("cannot understand a job");
		answer_all(number, str_view(&slot->packet), JOB_DEFERRED,
			   VIEW("The spawner cannot understand this job. "
				"(#4.3.0)\n"));
		slot->answered = true;
		slot->job.fd = fd;
	}
	release_if_done(slot);
}

/* A job whose descriptor was lost, as when none was left for it. */
static void refuse_job(const struct str *packet)
{
	uint64_t number;

	if (!job_number(str_view(packet), &number))
		die(EXIT_RETRY, "got a damaged packet");
	answer_all(number, str_view(packet), JOB_DEFERRED,
		   VIEW("System resources temporarily unavailable. "
			"(#4.3.0)\n"));
}

/* False when there is none now. */
static bool receive_job(struct spawner *s)
{
	struct str packet = { 0 };
	int fd;

	/* The space for the longest is ours, the slot has what it needs. */
	switch (packet_receive_now(JOB_FD, &s->space, &fd)) {
	case PACKET_OK:
		str_set(&packet, str_view(&s->space));
		take_job(s, &packet, fd);
		break;
	case PACKET_EOF:
		s->closing = true;
		return false;
	case PACKET_AGAIN:
		return false;
	case PACKET_BAD:
		refuse_job(&s->space);
		break;
	case PACKET_ERROR:
		die_errno(EXIT_RETRY, "cannot read jobs");
	}
	str_free(&packet);
	return true;
}

/* ---- workers and lookups ---- */

static int set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags == -1 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

/* Start `how` with `theirs` as its descriptor `to`; keep `ours`. */
static int start_child(struct spawner_slot *slot, struct spawn *how, int ours,
		       int theirs, int to)
{
	int error;

	spawn_fd(how, theirs, to);
	slot->pid = set_nonblocking(ours) == -1 ? -1 : spawn_start(how);
	error = errno;
	close(theirs);
	if (slot->pid == -1) {
		slot->pid = 0;
		close(ours);
		errno = error;
		return -1;
	}
	slot->from = ours;
	return 0;
}

/* Keep the slot's worker for another job. False when it must end. */
static bool park(struct spawner *s, struct spawner_slot *slot)
{
	struct worker worker = {
		.pid = slot->pid,
		.sock = slot->from,
		.key = slot->key,
		.file = slot->file,
	};

	if (slot->pid == 0 || slot->key.len == 0 || slot->late || s->closing ||
	    !workers_park(&s->workers, &worker))
		return false;
	slot->pid = 0;
	slot->from = -1;
	slot->key = (struct str){ 0 };
	return true;
}

/* Give the slot's job, which is in s->space, to one that waits. */
static bool use_worker(struct spawner *s, struct spawner_slot *slot)
{
	struct worker worker;

	if (slot->key.len == 0 || slot->needs_new ||
	    !workers_use(&s->workers, str_view(&slot->key), &slot->file,
			 str_view(&s->space), slot->job.fd, &worker))
		return false;
	slot->pid = worker.pid;
	slot->from = worker.sock;
	slot->is_kept = true;
	return true;
}

static int start_worker(struct spawner_slot *slot, struct spawn *how,
			struct view packet)
{
	int pair[2];

	if (packet_pair(pair) == -1)
		return -1;
	if (start_child(slot, how, pair[0], pair[1], 0) == -1)
		return -1;
	/* One that did not get it sees the end, and is reported as crashed. */
	if (packet_send(slot->from, packet, slot->job.fd) != PACKET_OK) {
		warn_errno("cannot hand over a job");
		close_fd(&slot->from);
	}
	return 0;
}

/* Its number is ours there: the same one is never used twice. */
static void format_job(struct spawner *s, struct spawner_slot *slot,
		       const struct job *job)
{
	struct job numbered = *job;

	slot->number = ++s->last_number;
	numbered.number = slot->number;
	job_format(&s->space, &numbered);
}

void spawner_worker(struct spawner *s, struct spawner_slot *slot,
		    struct spawn *how, const struct job *job, struct view key)
{
	slot->is_lookup = false;
	slot->is_kept = false;
	slot->not_begun = false;
	str_reset(&slot->output);
	str_set(&slot->key, key);
	/* One that cannot be looked at is like no other, and not kept. */
	if (key.len && filemark_look(&slot->file, AT_FDCWD, how->argv[0]) == -1)
		str_reset(&slot->key);
	format_job(s, slot, job);
	if (use_worker(s, slot))
		return;
	if (used_slots(s) + workers_waiting(&s->workers) > s->slot_count)
		workers_end_one(&s->workers);
	if (start_worker(slot, how, str_view(&s->space)) == 0)
		return;
	warn_errno("cannot start %s", s->ops->worker);
	defer(s, slot, "Unable to fork ", ". (#4.3.0)\n");
}

int spawner_lookup(struct spawner *s, struct spawner_slot *slot,
		   struct spawn *how)
{
	int ends[2];

	(void)s;
	if (pipe2(ends, O_CLOEXEC) == -1)
		return -1;
	slot->is_lookup = true;
	return start_child(slot, how, ends[0], ends[1], 1);
}

/* One read of a lookup's output; false when there is nothing more now. */
static bool read_lookup(struct spawner_slot *slot)
{
	char space[4096];
	ssize_t got = read(slot->from, space, sizeof(space));

	if (got == -1 && errno == EINTR)
		return true;
	if (got == -1 && errno == EAGAIN)
		return false;
	if (got > 0 && slot->output.len + (size_t)got <= LOOKUP_MAX_BYTES) {
		str_append(&slot->output, view_make(space, (size_t)got));
		return true;
	}
	/* More than any lookup says does not parse, as an empty output. */
	if (got > 0)
		str_reset(&slot->output);
	close_fd(&slot->from);
	return false;
}

/* What a worker says. */
static void read_worker(struct spawner *s, struct spawner_slot *slot)
{
	int fd = -1;

	switch (packet_receive(slot->from, &s->space, &fd)) {
	case PACKET_OK:
		close_fd(&fd);
		if (relay(s, slot) && park(s, slot))
			return;
		break;
	case PACKET_BAD:
		defer(s, slot, "", " said something odd.\n");
		break;
	case PACKET_AGAIN:
		return;
	case PACKET_EOF:
		/* The kernel's word that our packet was never taken. */
		slot->not_begun = slot->is_kept && errno == ECONNRESET;
		break;
	case PACKET_ERROR:
		break;
	}
	/* One word is all that counts; more could go on for ever. */
	close_fd(&slot->from);
	if (slot->answered &&
	    slot->deadline_ms > clock_mono_ms() + WORKERS_END_MS)
		slot->deadline_ms = clock_mono_ms() + WORKERS_END_MS;
}

static void read_child(struct spawner *s, struct spawner_slot *slot)
{
	if (slot->from == -1)
		return;
	if (!slot->is_lookup) {
		read_worker(s, slot);
		return;
	}
	while (read_lookup(slot)) {
		/* It is bounded by LOOKUP_MAX_BYTES. */
	}
}

static void say_late(struct spawner *s, struct spawner_slot *slot)
{
	struct str text = { 0 };

	str_appendf(&text,
		    "Delivery took longer than %lld seconds and was ended. "
		    "(#4.4.7)\n",
		    (long long)(s->timeout_ms / 1000));
	spawner_answer(s, slot, JOB_DEFERRED, str_view(&text));
	str_free(&text);
}

/* A worker that ended without a word. */
static void say_ended(struct spawner *s, struct spawner_slot *slot, int code)
{
	if (code == EXIT_RETRY || code == EXIT_REJECT)
		defer(s, slot, "Unable to run ", ".\n");
	else
		defer(s, slot, "", " crashed.\n");
}

/* The job was not begun: once more, and not by one that waited. */
static void start_again(struct spawner *s, struct spawner_slot *slot)
{
	slot->needs_new = true;
	s->ops->start(s, slot);
}

static void child_ended(struct spawner *s, struct spawner_slot *slot,
			int status)
{
	int code = spawn_exit_code(status);

	slot->pid = 0;
	read_child(s, slot);
	close_fd(&slot->from);
	if (slot->late)
		say_late(s, slot);
	else if (slot->is_lookup)
		s->ops->looked_up(s, slot, code);
	else if (!slot->answered && slot->not_begun)
		start_again(s, slot);
	else if (!slot->answered)
		say_ended(s, slot, code);
	release_if_done(slot);
}

static void process_ended(struct spawner *s, pid_t pid, int status)
{
	for (size_t i = 0; i < s->slot_count; i++)
		if (s->slots[i].pid == pid) {
			child_ended(s, &s->slots[i], status);
			return;
		}
	workers_ended(&s->workers, pid);
}

static void reap(struct spawner *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		process_ended(s, pid, status);
}

/* The worker and what it started; it is the leader of its group. */
static void kill_late(struct spawner_slot *slot)
{
	slot->late = true;
	slot->deadline_ms = POLLS_NEVER;
	workers_kill(slot->pid);
}

/* ---- the loop ---- */

/*
 * For how many more jobs descriptors can be had: each job has its message
 * and a socket, each idle worker a socket.
 */
static size_t room(const struct spawner *s)
{
	size_t have =
		FDS_OF_OURS + 2 * used_slots(s) + workers_waiting(&s->workers);
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == -1 ||
	    limit.rlim_cur == RLIM_INFINITY)
		return s->slot_count;
	if (have + FDS_A_JOB > limit.rlim_cur)
		return 0;
	return (size_t)(limit.rlim_cur - have) / FDS_A_JOB;
}

/*
 * As many as there are, where several were under way: one call says that
 * there is no other, but poll(2) costs more than that.
 */
static void receive_jobs(struct spawner *s)
{
	size_t left = room(s);

	if (left == 0)
		s->hold_until_ms = clock_mono_ms() + RETRY_MS;
	while (left-- && free_slot(s) && receive_job(s) && used_slots(s) > 1) {
		/* The next one. */
	}
}

static void prepare(struct spawner *s, int64_t *deadline)
{
	polls_reset(&s->polls);
	s->signal_poll_no = polls_add(&s->polls, s->signals, POLLIN);
	if (s->ops->noticed)
		s->watched_poll_no = polls_add(&s->polls, s->watched, POLLPRI);
	for (size_t i = 0; i < s->slot_count; i++) {
		struct spawner_slot *slot = &s->slots[i];

		if (!slot->used)
			continue;
		slot->poll_no = polls_add(&s->polls, slot->from, POLLIN);
		if (slot->pid)
			polls_until(deadline, slot->deadline_ms);
	}
	if (s->closing)
		workers_end_all(&s->workers);
	workers_prepare(&s->workers, &s->polls, deadline);
	s->polls_jobs = !s->closing && free_slot(s) &&
			clock_mono_ms() >= s->hold_until_ms;
	if (s->polls_jobs)
		s->job_poll_no = polls_add(&s->polls, JOB_FD, POLLIN);
	else if (!s->closing && free_slot(s))
		polls_until(deadline, s->hold_until_ms);
}

static void act(struct spawner *s)
{
	bool has_job = s->polls_jobs && polls_ready(&s->polls, s->job_poll_no);
	bool has_signal = polls_ready(&s->polls, s->signal_poll_no);
	int64_t now = clock_mono_ms();

	for (size_t i = 0; i < s->slot_count; i++) {
		struct spawner_slot *slot = &s->slots[i];

		if (!slot->used)
			continue;
		if (polls_ready(&s->polls, slot->poll_no))
			read_child(s, slot);
		if (slot->pid && now >= slot->deadline_ms)
			kill_late(slot);
		release_if_done(slot);
	}
	workers_act(&s->workers, &s->polls, now);
	if (s->ops->noticed && polls_ready(&s->polls, s->watched_poll_no))
		s->ops->noticed(s);
	if (has_signal) {
		while (sig_next(s->signals)) {
			/* Only SIGCHLD is caught. */
		}
		reap(s);
	}
	if (has_job)
		receive_jobs(s);
}

/* How many jobs the descriptors we may have suffice for. */
static size_t capacity(void)
{
	struct rlimit limit;
	size_t fds;

	if (getrlimit(RLIMIT_NOFILE, &limit) == -1 ||
	    limit.rlim_cur == RLIM_INFINITY)
		return CONF_SPAWN;
	if (limit.rlim_cur <= FDS_OF_OURS + FDS_A_JOB)
		return 1;
	fds = (size_t)(limit.rlim_cur - FDS_OF_OURS) / FDS_A_JOB;
	return fds < CONF_SPAWN ? fds : CONF_SPAWN;
}

int spawner_init(struct spawner *s)
{
	static const int caught[] = { SIGCHLD };
	struct str hello = { 0 };
	enum packet_result sent;

	sig_ignore_write_signals();
	memory_patient();
	s->slot_count = capacity();
	s->slots = calloc(s->slot_count, sizeof(*s->slots));
	if (!s->slots)
		die(EXIT_RETRY, "out of memory");
	for (size_t i = 0; i < s->slot_count; i++)
		s->slots[i] = (struct spawner_slot){ .from = -1, .job.fd = -1 };
	/* As many that wait, and as many that are ending. */
	workers_init(&s->workers, 2 * s->slot_count);
	s->signals = sig_open(caught, COUNT_OF(caught));
	if (s->signals == -1)
		return -1;
	job_hello_format(&hello, s->slot_count);
	sent = packet_send(JOB_FD, str_view(&hello), -1);
	str_free(&hello);
	return sent == PACKET_OK ? 0 : -1;
}

int spawner_run(struct spawner *s)
{
	while (!s->closing || used_slots(s) || workers_alive(&s->workers)) {
		int64_t deadline = POLLS_NEVER;

		prepare(s, &deadline);
		if (polls_wait(&s->polls, deadline) == -1)
			die_errno(EXIT_RETRY, "cannot poll");
		act(s);
	}
	polls_free(&s->polls);
	str_free(&s->space);
	workers_free(&s->workers);
	free(s->slots);
	s->slots = NULL;
	return EXIT_DONE;
}

int spawner_timeout(int homefd, int64_t *timeout_ms)
{
	uint64_t seconds = SPAWNER_TIMEOUT_S;

	if (control_u64(homefd, "timeoutdelivery", &seconds) == CONTROL_ERROR)
		return -1;
	if (seconds == 0 || seconds > INT32_MAX)
		seconds = SPAWNER_TIMEOUT_S;
	*timeout_ms = (int64_t)seconds * 1000;
	return 0;
}
