#include "send/finish.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdnoreturn.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/die.h"
#include "lib/enqueue.h"
#include "lib/out.h"
#include "lib/record.h"
#include "lib/sig.h"
#include "lib/spawn.h"
#include "send/bounce.h"
#include "send/message.h"
#include "send/reports.h"
#include "send/send.h"

#define CHILD_LIMIT_S 3600 /* a QMAILQUEUE program may hang */
#define SAID_MAX 1000
#define COPY_BYTES 65536

/* ---- removing ---- */

static bool remove_file(struct send *s, const char *folder, uint64_t id)
{
	struct str path = { 0 };
	bool gone;

	qformat_path(&s->format, &path, folder, id);
	gone = unlinkat(s->homefd, str_c(&path), 0) == 0 || errno == ENOENT;
	if (!gone)
		log_errno(&s->log,
			  "warning: unable to unlink %s; will try again later",
			  str_c(&path));
	str_free(&path);
	return gone;
}

/* The bounce file first: without the message it would mean nothing. */
static void remove_message(struct send *s, uint32_t no)
{
	uint64_t id = schedule_entry(&s->schedule, no)->id;

	if (!remove_file(s, "bounce", id) || !remove_file(s, "mess", id)) {
		schedule_set(&s->schedule, no, DUE_END,
			     s->now + SEND_TROUBLE_S);
		return;
	}
	log_line(&s->log, "end msg %lu", (unsigned long)id);
	schedule_remove(&s->schedule, no);
}

static void try_later(struct send *s, uint32_t no)
{
	schedule_set(&s->schedule, no, DUE_END, s->now + SEND_TROUBLE_S);
}

/* ---- the child: queue one bounce ---- */

/* The whole message follows, checked on the way. */
static void copy_message(struct enqueue *q, const struct qfile *file)
{
	char space[COPY_BYTES];
	uint64_t at = 0;

	while (at < file->message_len) {
		uint64_t left = file->message_len - at;
		size_t size = left < sizeof(space) ? left : sizeof(space);

		if (qfile_read(file, space, size, at) != QFILE_OK) {
			enqueue_fail(q, ENQUEUE_CODE_READ);
			return;
		}
		enqueue_put(q, view_make(space, size));
		at += size;
	}
}

/* What the original said of its bytes holds for the copy too. */
static void copy_params(struct enqueue *q, const struct qfile *file)
{
	struct view value;

	if (qfile_find(file, QFILE_BODY, &value))
		enqueue_param(q, QFILE_BODY, value);
	if (qfile_find(file, QFILE_SMTPUTF8, &value))
		enqueue_param(q, QFILE_SMTPUTF8, value);
}

static void tell(int to, uint64_t qp, struct view text)
{
	char number[8];

	le64_write(number, qp);
	if (write_all(to, view_make(number, sizeof(number))) == -1 ||
	    write_all(to, view_first(text, SAID_MAX)) == -1)
		_exit(EXIT_RETRY);
}

static noreturn void inject(struct send *s, const struct qfile *file,
			    const struct bounce_route *route, int to)
{
	struct str path = { 0 };
	struct str reports = { 0 };
	struct str text = { 0 };
	struct enqueue q;

	qformat_path(&s->format, &path, "bounce", file->id);
	if (reports_read(s->homefd, str_c(&path), &reports) == -1) {
		tell(to, 0, VIEW("unable to read the bounce file"));
		_exit(EXIT_RETRY);
	}
	bounce_text(&text, &s->config, &s->rewrite, file, str_view(&reports),
		    route, clock_wall_s());
	enqueue_open_by(&q, s->homefd, &s->launcher, NULL);
	enqueue_put(&q, str_view(&text));
	copy_message(&q, file);
	enqueue_from(&q, route->from);
	copy_params(&q, file);
	enqueue_to(&q, route->to);
	if (enqueue_close(&q) != ENQUEUE_DONE) {
		tell(to, 0, str_view(&q.text));
		_exit(EXIT_RETRY);
	}
	tell(to, (uint64_t)q.pid, VIEW(""));
	_exit(EXIT_DONE);
}

/*
 * A child holds nothing that would outlive its parent: neither the spawners'
 * sockets nor the mutex, and it dies with it.
 */
static void become_child(struct send *s, pid_t parent)
{
	sig_reset_all();
	sig_ignore_write_signals();
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) == -1 || getppid() != parent)
		_exit(EXIT_RETRY);
	for (int c = 0; c < CHANNELS; c++) {
		close(s->channels[c].in);
		close(s->channels[c].out);
	}
	take_close(&s->take);
	alarm(CHILD_LIMIT_S);
}

static struct finish_child *free_child(struct send *s)
{
	for (size_t i = 0; i < FINISH_CHILDREN; i++)
		if (s->finish.children[i].pid == 0)
			return &s->finish.children[i];
	return NULL;
}

static int fork_child(struct send *s, struct finish_child *child,
		      const struct qfile *file,
		      const struct bounce_route *route)
{
	pid_t parent = getpid();
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) == -1)
		return -1;
	pid = fork();
	if (pid == 0) {
		become_child(s, parent);
		close(fds[0]);
		inject(s, file, route, fds[1]);
	}
	close(fds[1]);
	if (pid == -1) {
		close(fds[0]);
		return -1;
	}
	child->pid = pid;
	child->from = fds[0];
	child->polled = false;
	str_reset(&child->said);
	s->finish.running++;
	return 0;
}

/* ---- beginning the end ---- */

static void count_states(const struct qfile *file, bool *waits, bool *failed)
{
	struct qfile_cursor at = { 0 };
	struct qfile_recipient rcpt;

	*waits = false;
	*failed = false;
	while (qfile_next(file, &at, &rcpt)) {
		*waits |= rcpt.state == QFILE_WAITING;
		*failed |= rcpt.state == QFILE_FAILED;
	}
}

/* Somebody failed, and the bounce is not queued yet. */
static void send_bounce(struct send *s, uint32_t no, const struct qfile *file)
{
	struct bounce_route route = bounce_route(&s->config, file->sender);
	struct finish_child *child = free_child(s);

	if (route.is_triple) {
		log_line(&s->log, "triple bounce: discarding bounce/%lu",
			 (unsigned long)file->id);
		remove_message(s, no);
		return;
	}
	if (route.to.len == 0) {
		log_line(&s->log, "double bounce: discarding bounce/%lu",
			 (unsigned long)file->id);
		remove_message(s, no);
		return;
	}
	if (!child) {
		schedule_set(&s->schedule, no, DUE_END, s->now);
		return;
	}
	if (fork_child(s, child, file, &route) == -1) {
		log_errno(&s->log, "warning: unable to start qmail-queue, "
				   "will try later");
		try_later(s, no);
		return;
	}
	child->no = no;
}

void finish_message(struct send *s, uint32_t no, struct qfile *file)
{
	bool waits;
	bool failed;

	count_states(file, &waits, &failed);
	if (schedule_entry(&s->schedule, no)->flags & SCHEDULE_BOUNCED)
		failed = false;
	schedule_set(&s->schedule, no, DUE_END, DUE_NEVER);
	if (waits)
		for (int c = 0; c < CHANNELS; c++)
			schedule_set(&s->schedule, no, (enum due)c, s->now);
	else if (failed && s->exiting)
		schedule_set(&s->schedule, no, DUE_END, s->now);
	else if (failed)
		send_bounce(s, no, file);
	else
		remove_message(s, no);
	qfile_close(file);
}

void finish_start(struct send *s)
{
	struct qfile file;
	uint32_t no;

	while (!s->exiting && s->finish.running < FINISH_CHILDREN &&
	       schedule_top(&s->schedule, DUE_END, false, s->now, &no)) {
		schedule_set(&s->schedule, no, DUE_END, DUE_NEVER);
		if (message_open_file(s, no, DUE_END, &file))
			finish_message(s, no, &file);
	}
}

/* ---- its result ---- */

static void reap(struct send *s, struct finish_child *child)
{
	struct view said = str_view(&child->said);
	uint64_t id = schedule_entry(&s->schedule, child->no)->id;
	uint32_t no = child->no;
	int status;
	bool done = spawn_wait(child->pid, &status) == 0 &&
		    spawn_exit_code(status) == 0 && said.len == 8;

	close(child->from);
	child->pid = 0;
	s->finish.running--;
	if (done) {
		log_line(&s->log, "bounce msg %lu qp %lu", (unsigned long)id,
			 (unsigned long)le64_read(said.p));
		schedule_flag(&s->schedule, no, SCHEDULE_BOUNCED, 0);
		remove_message(s, no);
		return;
	}
	log_put(&s->log,
		"warning: trouble injecting bounce message, will try later: "
		"msg %lu: ",
		(unsigned long)id);
	log_safe(&s->log, view_from(said, 8));
	log_end(&s->log);
	try_later(s, no);
}

/* True at the end of what the child says. */
static bool listen_to(struct finish_child *child)
{
	ssize_t got;

	str_reserve(&child->said, SAID_MAX + 8);
	if (child->said.len >= SAID_MAX + 8)
		return true;
	got = read(child->from, child->said.p + child->said.len,
		   SAID_MAX + 8 - child->said.len);
	if (got > 0)
		child->said.len += (size_t)got;
	return got == 0 || (got == -1 && errno != EINTR);
}

void finish_prepare(struct send *s, struct polls *polls, int64_t *deadline)
{
	int64_t due = schedule_next(&s->schedule, DUE_END, false);

	for (size_t i = 0; i < FINISH_CHILDREN; i++) {
		struct finish_child *child = &s->finish.children[i];

		child->polled = child->pid != 0;
		if (child->polled)
			child->poll_no = polls_add(polls, child->from, POLLIN);
	}
	if (due != DUE_NEVER && !s->exiting &&
	    s->finish.running < FINISH_CHILDREN)
		polls_until(deadline,
			    clock_mono_ms() +
				    (due > s->now ? due - s->now : 0) * 1000);
}

void finish_act(struct send *s, const struct polls *polls)
{
	for (size_t i = 0; i < FINISH_CHILDREN; i++) {
		struct finish_child *child = &s->finish.children[i];

		if (child->polled && polls_ready(polls, child->poll_no) &&
		    listen_to(child))
			reap(s, child);
	}
}
