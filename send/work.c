#include "send/work.h"

#include <assert.h>
#include <stdlib.h>

#include "lib/memory.h"
#include "send/message.h"
#include "send/recipients.h"
#include "send/send.h"

/* How many files are opened before the loop looks around again. */
#define OPENS_A_TURN 64
/* Envelopes in memory; one message is always allowed. */
#define OPEN_BYTES_MAX (UINT64_C(64) << 20)

/* ---- opening and closing ---- */

struct message *work_find_open(struct send *s, uint32_t no)
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

bool work_is_in_work(const struct message *m)
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

void work_settle(struct send *s, struct message *m)
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
	if (work_is_in_work(m))
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

bool work_close_if_over(struct send *s, struct message *m, int c)
{
	struct pass *pass = &m->passes[c];

	if (!pass->open || pass->has_next || pass->in_flight)
		return false;
	pass_close(s, m, c);
	schedule_set(&s->schedule, m->no, (enum due)c, pass->retry);
	work_settle(s, m);
	return true;
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
		    pass_has_room(s, c, entry->flags & 1U << c))
			pass_open(s, m, c);
	}
	work_settle(s, m);
}

struct message *work_adopt_file(struct send *s, uint32_t no, struct qfile *file)
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
		open_passes(s, work_find_open(s, no));
		return;
	}
	if (message_open_file(s, no, (enum due)c, &file))
		open_passes(s, work_adopt_file(s, no, &file));
}

bool work_may_open(struct send *s)
{
	return s->work.open_messages == 0 ||
	       s->work.open_bytes < OPEN_BYTES_MAX;
}

void work_open_all_due(struct send *s, int c, bool fresh)
{
	uint32_t no;

	for (int opened = 0; work_may_open(s) && pass_has_room(s, c, fresh);
	     opened++) {
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
	if (!s->exiting && work_may_open(s) &&
	    pass_has_room(s, DUE_LOCAL, true) &&
	    pass_has_room(s, DUE_REMOTE, true))
		open_passes(s, work_adopt_file(s, no, file));
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
	m = work_adopt_file(s, no, file);
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
	if (!work_is_in_work(m))
		work_settle(s, m);
}

/* End all passes of a message without touching its recipients. */
static void abandon_passes(struct send *s, struct message *m)
{
	for (int c = 0; c < CHANNELS; c++) {
		if (!m->passes[c].open)
			continue;
		assert(m->passes[c].in_flight == 0);
		pass_close(s, m, c);
	}
}

bool work_load_or_close(struct send *s, struct message *m)
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
