#include "send/work.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "lib/clock.h"
#include "lib/memory.h"
#include "send/jobs.h"
#include "send/message.h"
#include "send/recipients.h"
#include "send/results.h"
#include "send/retry.h"
#include "send/send.h"

/* How many files are opened before the loop looks around again. */
#define OPENS_A_TURN 64
/* Envelopes in memory; one message is always allowed. */
#define OPEN_BYTES_MAX (UINT64_C(64) << 20)

static const int64_t skips[CHANNELS] = { RETRY_SKIP_LOCAL, RETRY_SKIP_REMOTE };

/* ---- lists of passes ---- */

static void list_append(struct pass_list *list, struct message *m)
{
	if (list->count == list->cap) {
		list->cap = list->cap * 2 + 16;
		list->messages = memory_resize(list->messages, list->cap,
					       sizeof(*list->messages));
	}
	list->messages[list->count++] = m;
}

static void list_remove(struct pass_list *list, const struct message *m)
{
	size_t at = 0;

	while (at < list->count && list->messages[at] != m)
		at++;
	assert(at < list->count);
	list->count--;
	memmove(list->messages + at, list->messages + at + 1,
		(list->count - at) * sizeof(*list->messages));
}

static struct pass_list *list_of(struct send *s, int c, bool fresh)
{
	return fresh ? &s->work.fresh[c] : &s->work.old[c];
}

/* The open message of a schedule entry. */
static struct message *find_open(struct send *s, uint32_t no)
{
	assert(no < s->work.open_cap && s->work.open[no]);
	return s->work.open[no];
}

static void note_open(struct send *s, struct message *m)
{
	struct work *w = &s->work;

	if (m->no >= w->open_cap) {
		size_t cap = (size_t)m->no + m->no / 4 + 64;

		w->open = memory_resize(w->open, cap, sizeof(struct message *));
		while (w->open_cap < cap)
			w->open[w->open_cap++] = NULL;
	}
	w->open[m->no] = m;
}

static bool has_room(struct send *s, int c, bool fresh)
{
	return list_of(s, c, fresh)->count < s->channels[c].concurrency;
}

/* ---- walking ---- */

/* Move a pass to its next recipient. */
static void pass_advance(struct send *s, struct message *m, int c)
{
	struct pass *pass = &m->passes[c];

	while (qfile_next(&m->file, &pass->at, &pass->next))
		if (recipient_is_for_pass(s, m, c, &pass->next)) {
			pass->has_next = true;
			return;
		}
	pass->has_next = false;
}

/* ---- opening and closing ---- */

/* Is this the last attempt? */
static bool is_too_old(const struct send *s, int64_t birth)
{
	int64_t now = birth <= s->jump_until_s ? s->now - s->jump_s : s->now;

	return now > birth + s->config.lifetime_s;
}

static void pass_open(struct send *s, struct message *m, int c)
{
	const struct schedule_entry *entry =
		schedule_entry(&s->schedule, m->no);
	int64_t birth = (int64_t)(m->id / 1000000);
	struct pass *pass = &m->passes[c];

	group_free(&pass->ahead);
	*pass = (struct pass){
		.fresh = entry->flags & 1U << c,
		.last = is_too_old(s, birth),
		.retry = retry_next(s->now, birth, skips[c]),
	};
	pass_advance(s, m, c);
	/* All of them may be in the other channel's hands: try later. */
	pass->open = pass->has_next;
	schedule_set(&s->schedule, m->no, (enum due)c,
		     pass->open ? DUE_NEVER : pass->retry);
	if (pass->open)
		list_append(list_of(s, c, pass->fresh), m);
}

static bool is_in_work(const struct message *m)
{
	return m->passes[DUE_LOCAL].open || m->passes[DUE_REMOTE].open;
}

static void close_message(struct send *s, struct message *m)
{
	schedule_flag(&s->schedule, m->no, 0, SCHEDULE_OPEN);
	s->work.open_messages--;
	s->work.open_bytes -= m->file.envelope.len;
	s->work.open[m->no] = NULL;
	message_free(m);
}

/* ---- messages in the log ---- */

/* Everybody has it, and it never was a file. */
static void end_in_log(struct send *s, struct message *m)
{
	uint32_t no = m->no;

	log_line(&s->log, "end msg %lu", (unsigned long)m->id);
	logged_release(s, m);
	close_message(s, m);
	schedule_remove(&s->schedule, no);
}

/* Its first turn comes soon: that is worth no file. */
static bool waits_for_local(struct send *s, const struct message *m,
			    const uint64_t counts[CHANNELS])
{
	const struct schedule_entry *entry =
		schedule_entry(&s->schedule, m->no);

	return counts[DUE_LOCAL] && !counts[DUE_REMOTE] &&
	       entry->flags & 1U << DUE_LOCAL &&
	       entry->due[DUE_LOCAL] <= s->now;
}

/*
 * What is due for recipients that no open pass looks after? When nothing is
 * open any more, the message is closed; when nobody waits, it has ended.
 */
static void settle(struct send *s, struct message *m)
{
	uint64_t counts[CHANNELS];

	recipients_count(s, m, counts);
	for (int c = 0; c < CHANNELS; c++) {
		int64_t due = schedule_entry(&s->schedule, m->no)->due[c];

		if (m->passes[c].open)
			continue;
		if (counts[c] == 0 && due != DUE_NEVER)
			schedule_set(&s->schedule, m->no, (enum due)c,
				     DUE_NEVER);
		if (counts[c] != 0 && due == DUE_NEVER)
			schedule_set(&s->schedule, m->no, (enum due)c, s->now);
	}
	if (is_in_work(m))
		return;
	if (m->in_log.is) {
		if (qfile_is_delivered(&m->file)) {
			end_in_log(s, m);
			return;
		}
		if (waits_for_local(s, m, counts) || logged_move(s, m) == -1)
			return;
	}
	if (counts[DUE_LOCAL] == 0 && counts[DUE_REMOTE] == 0) {
		struct qfile file = m->file;
		uint32_t no = m->no;

		s->work.open_bytes -= file.envelope.len;
		m->file = (struct qfile){ .fd = -1 };
		close_message(s, m);
		finish_message(s, no, &file);
		return;
	}
	close_message(s, m);
}

/* A pass whose recipients have all been answered is over. */
static void close_pass_if_over(struct send *s, struct message *m, int c)
{
	struct pass *pass = &m->passes[c];

	if (!pass->open || pass->has_next || pass->in_flight)
		return;
	pass->open = false;
	list_remove(list_of(s, c, pass->fresh), m);
	schedule_set(&s->schedule, m->no, (enum due)c, pass->retry);
	settle(s, m);
}

/* Let passes begin wherever this message is due and there is room. */
static void open_passes(struct send *s, struct message *m)
{
	uint64_t counts[CHANNELS];

	recipients_count(s, m, counts);
	for (int c = 0; c < CHANNELS; c++) {
		const struct schedule_entry *entry =
			schedule_entry(&s->schedule, m->no);

		if (!m->passes[c].open && counts[c] &&
		    entry->due[c] <= s->now &&
		    has_room(s, c, entry->flags & 1U << c))
			pass_open(s, m, c);
	}
	settle(s, m);
}

static struct message *adopt(struct send *s, uint32_t no, struct qfile *file)
{
	struct message *m = message_new(no, file);

	schedule_flag(&s->schedule, no, SCHEDULE_OPEN, 0);
	s->work.open_messages++;
	s->work.open_bytes += m->file.envelope.len;
	note_open(s, m);
	return m;
}

static void open_due(struct send *s, uint32_t no, int c)
{
	struct qfile file;

	if (schedule_entry(&s->schedule, no)->flags & SCHEDULE_OPEN) {
		open_passes(s, find_open(s, no));
		return;
	}
	if (message_open_file(s, no, (enum due)c, &file))
		open_passes(s, adopt(s, no, &file));
}

static bool may_open(struct send *s)
{
	return s->work.open_messages == 0 ||
	       s->work.open_bytes < OPEN_BYTES_MAX;
}

/* Open what is due on a channel, as long as there is room. */
static void open_all_due(struct send *s, int c, bool fresh)
{
	uint32_t no;

	for (int opened = 0; may_open(s) && has_room(s, c, fresh); opened++) {
		if (!schedule_top(&s->schedule, (enum due)c, fresh, s->now,
				  &no))
			return;
		if (opened == OPENS_A_TURN) {
			s->again = true;
			return;
		}
		open_due(s, no, c);
	}
}

void work_found(struct send *s, uint64_t id)
{
	uint32_t no = schedule_add(&s->schedule, id);

	for (int c = 0; c < CHANNELS; c++)
		schedule_set(&s->schedule, no, (enum due)c, s->now);
}

void work_take(struct send *s, struct qfile *file)
{
	uint32_t no = schedule_add(&s->schedule, file->id);

	for (int c = 0; c < CHANNELS; c++)
		schedule_set_fresh(&s->schedule, no, (enum due)c, s->now);
	if (!s->exiting && may_open(s) && has_room(s, DUE_LOCAL, true) &&
	    has_room(s, DUE_REMOTE, true))
		open_passes(s, adopt(s, no, file));
	else
		qfile_close(file);
}

struct message *work_adopt(struct send *s, struct qfile *file,
			   const struct logged_place *place)
{
	uint32_t no = schedule_add(&s->schedule, file->id);
	struct message *m;

	for (int c = 0; c < CHANNELS; c++)
		schedule_set_fresh(&s->schedule, no, (enum due)c, s->now);
	m = adopt(s, no, file);
	m->in_log = *place;
	return m;
}

void work_begin(struct send *s, struct message *m)
{
	/* Else it becomes a file, as far as nothing else is possible. */
	if (s->work.open_bytes >= OPEN_BYTES_MAX && logged_move(s, m) == 0)
		close_message(s, m);
	else
		open_passes(s, m);
}

void work_moved(struct send *s, struct message *m)
{
	if (!is_in_work(m))
		settle(s, m);
}

/* ---- starting deliveries ---- */

/* End all passes of a message without touching its recipients. */
static void abandon_passes(struct send *s, struct message *m)
{
	for (int c = 0; c < CHANNELS; c++) {
		if (!m->passes[c].open)
			continue;
		assert(m->passes[c].in_flight == 0);
		m->passes[c].open = false;
		list_remove(list_of(s, c, m->passes[c].fresh), m);
	}
}

/*
 * Read and check the message before its first job. When it cannot be had,
 * the message is closed, and *m with it.
 */
static bool load_or_close(struct send *s, struct message *m)
{
	enum qfile_result result = message_load(m);
	uint32_t no = m->no;

	if (result == QFILE_OK)
		return true;
	/* Nothing is in flight: there has been no job yet. */
	abandon_passes(s, m);
	if (result == QFILE_BAD && m->in_log.is) {
		logged_set_aside(s, m);
		close_message(s, m);
		schedule_remove(&s->schedule, no);
		return false;
	}
	if (result == QFILE_BAD) {
		close_message(s, m);
		message_set_aside(s, no);
		return false;
	}
	log_errno(&s->log,
		  "warning: unable to read msg %lu; will try again later",
		  (unsigned long)m->id);
	if (!m->in_log.is)
		close_message(s, m);
	for (int c = 0; c < CHANNELS; c++)
		schedule_set(&s->schedule, no, (enum due)c,
			     s->now + SEND_TROUBLE_S);
	return false;
}

/* The first of the list that has a recipient left; it goes to the end. */
static struct message *list_turn(struct pass_list *list, int c)
{
	for (size_t i = 0; i < list->count; i++) {
		struct message *m = list->messages[i];

		if (!m->passes[c].has_next)
			continue;
		list_remove(list, m);
		list_append(list, m);
		return m;
	}
	return NULL;
}

static struct message *whose_turn(struct send *s, int c)
{
	bool fresh_first = s->work.turns[c] % 4 != 3;
	struct message *m = list_turn(list_of(s, c, fresh_first), c);

	if (!m)
		m = list_turn(list_of(s, c, !fresh_first), c);
	else if (list_of(s, c, !fresh_first)->count)
		s->work.turns[c]++;
	return m;
}

/* Give one free slot away. False when nobody wants it. */
static bool use_slot(struct send *s, int c)
{
	struct message *m = whose_turn(s, c);
	struct qfile_recipient rcpt;

	if (!m)
		return false;
	if (!load_or_close(s, m))
		return true;
	rcpt = m->passes[c].next;
	/* locals or virtualdomains may have changed since it was chosen. */
	if (recipient_channel(s, rcpt.address) == c)
		jobs_start(s, m, c, &rcpt);
	pass_advance(s, m, c);
	close_pass_if_over(s, m, c);
	return true;
}

void work_start(struct send *s)
{
	for (int c = 0; c < CHANNELS; c++) {
		if (s->exiting)
			return;
		if (!channel_ready(&s->channels[c]))
			continue;
		open_all_due(s, c, true);
		open_all_due(s, c, false);
		while (channel_ready(&s->channels[c]) && use_slot(s, c))
			;
	}
}

/* ---- results ---- */

/* False when the packet is none that a spawner would send. */
static bool take_result(struct send *s, int c)
{
	struct channel *ch = &s->channels[c];
	struct job_result result;
	struct delivery *d;
	struct message *m;

	if (job_result_parse(str_view(&s->work.packet), &result) == -1)
		return false;
	d = channel_find(ch, result.number);
	if (!d) {
		log_line(&s->log, "warning: internal error: delivery report "
				  "out of range");
		return true;
	}
	m = d->message;
	results_apply(s, d, c, result.outcomes);
	channel_end(ch, d);
	m->passes[c].in_flight--;
	jobs_log_status(s);
	close_pass_if_over(s, m, c);
	return true;
}

void work_send_pending(struct send *s, const struct polls *polls)
{
	for (int c = 0; c < CHANNELS; c++)
		if (channel_act(&s->channels[c], polls) == -1)
			jobs_lose_channel(s, c);
}

void work_results(struct send *s)
{
	for (int c = 0; c < CHANNELS; c++) {
		enum channel_result result;

		while ((result = channel_receive(&s->channels[c],
						 &s->work.packet)) ==
		       CHANNEL_RESULT)
			if (!take_result(s, c)) {
				result = CHANNEL_LOST;
				break;
			}
		if (result == CHANNEL_LOST)
			jobs_lose_channel(s, c);
	}
}

/* ---- the loop's questions ---- */

static void prepare(struct send *s, int c, bool fresh, int64_t *deadline)
{
	int64_t due = schedule_next(&s->schedule, (enum due)c, fresh);

	if (due == DUE_NEVER || !has_room(s, c, fresh) || !may_open(s))
		return;
	polls_until(deadline,
		    clock_mono_ms() + (due > s->now ? due - s->now : 0) * 1000);
}

void work_prepare(struct send *s, int64_t *deadline)
{
	for (int c = 0; c < CHANNELS; c++) {
		if (s->exiting || !channel_ready(&s->channels[c]))
			continue;
		prepare(s, c, true, deadline);
		prepare(s, c, false, deadline);
	}
}

void work_free(struct send *s)
{
	struct work *w = &s->work;

	for (int c = 0; c < CHANNELS; c++) {
		free(w->fresh[c].messages);
		free(w->old[c].messages);
	}
	free(w->open);
	str_free(&w->packet);
	str_free(&w->recipients);
	str_free(&w->plain);
	str_free(&w->target);
	str_free(&w->host);
	str_free(&w->sender);
	*w = (struct work){ 0 };
}
