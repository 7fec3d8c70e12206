#include "send/jobs.h"

#include <assert.h>

#include "lib/clock.h"
#include "lib/job.h"
#include "lib/mutant.h"
#include "send/message.h"
#include "send/recipients.h"
#include "send/send.h"
#include "send/verp.h"

void jobs_lose_channel(struct send *s, int c)
{
	if (!s->channels[c].alive)
		return;
	log_line(&s->log, "alert: oh no! lost spawn connection! dying...");
	channel_lose(&s->channels[c]);
	s->lost = true;
	s->exiting = true;
}

void jobs_log_status(struct send *s)
{
	log_put(&s->log, "status:");
	for (int c = 0; c < CHANNELS; c++)
		log_put(&s->log, " %s %lu/%lu", s->channels[c].name,
			(unsigned long)s->channels[c].used,
			(unsigned long)s->channels[c].concurrency);
	if (s->exiting)
		log_put(&s->log, " exitasap");
	log_end(&s->log);
}

uint64_t jobs_in_flight(const struct send *s)
{
	uint64_t count = 0;

	for (int c = 0; c < CHANNELS; c++)
		if (s->channels[c].alive)
			count += s->channels[c].used;
	return count;
}

/*
 * The packet of one job, in work.packet, for those in work.recipients.
 * recipient_channel() has left the words of the first one.
 */
static void format_job(struct send *s, const struct message *m, int c,
		       uint64_t number)
{
	struct work *w = &s->work;
	struct job job = {
		.number = number,
		.queue = view_of(s->format.identity),
		.id = m->id,
		.recipients = str_view(&w->recipients),
		.size = m->file.message_len,
		.message = str_view(&m->text),
		.fd = m->memfd,
	};
	struct view ignored;

	verp_expand(&w->sender, m->file.sender, str_view(&w->plain));
	job.sender = str_view(&w->sender);
	if (c == DUE_REMOTE)
		job.host = group_host(str_view(&w->target));
	if (!qfile_find(&m->file, QFILE_BODY, &job.body))
		job.body = (struct view){ 0 };
	job.smtputf8 = qfile_find(&m->file, QFILE_SMTPUTF8, &ignored);
	job_format(&w->packet, &job);
}

uint64_t jobs_number(struct send *s, const struct message *m, int c)
{
	uint64_t number = ++s->work.last_job;

	log_put(&s->log, "starting delivery %lu: msg %lu to %s ",
		(unsigned long)number, (unsigned long)m->id,
		s->channels[c].name);
	log_safe(&s->log, str_view(&s->work.target));
	log_end(&s->log);
	return number;
}

/* One recipient more for the job; recipient_channel() has left his target. */
static void add_recipient(struct send *s, struct message *m, int c,
			  struct delivery *d,
			  const struct qfile_recipient *rcpt)
{
	delivery_add(d, rcpt->number, rcpt->state_offset);
	job_add_recipient(&s->work.recipients, rcpt->number,
			  str_view(&s->work.target));
	if (MUTANT(done_first))
		message_mark(s, m, rcpt->state_offset, QFILE_DELIVERED);
	jobs_number(s, m, c);
}

/*
 * Whoever waits for this pass at the host in work.target comes along. Returns
 * false when the envelope has ended; else *at is behind the last one.
 */
static bool add_others(struct send *s, struct message *m, int c,
		       struct delivery *d, struct qfile_cursor *at)
{
	struct work *w = &s->work;
	struct qfile_recipient rcpt;

	str_set(&w->host, group_host(str_view(&w->target)));
	for (size_t n = 0; n < GROUP_LOOK_AHEAD && d->count < GROUP_MAX; n++) {
		struct qfile_cursor next = *at;

		if (!qfile_next(&m->file, &next, &rcpt))
			return false;
		/* Most are not: the address as it is tells quickly. */
		if (group_may_be_at(rcpt.address, str_view(&w->host)) &&
		    recipient_is_for_pass(s, m, c, &rcpt) &&
		    view_eq_nocase(group_host(str_view(&w->target)),
				   str_view(&w->host))) {
			if (w->recipients.len + w->target.len > GROUP_MAX_BYTES)
				return true;
			add_recipient(s, m, c, d, &rcpt);
			group_tick(&m->passes[c].taken, rcpt.number);
		}
		*at = next;
	}
	return true;
}

bool jobs_start(struct send *s, struct message *m, int c,
		const struct qfile_recipient *first, struct destination *d,
		struct qfile_cursor *at)
{
	struct channel *ch = &s->channels[c];
	struct delivery *delivery = channel_begin(ch, s->work.last_job + 1);
	bool more = true;

	assert(delivery);
	delivery->message = m;
	delivery->begun_ms = clock_mono_ms();
	m->passes[c].in_flight++;
	str_reset(&s->work.recipients);
	add_recipient(s, m, c, delivery, first);
	if (c == DUE_REMOTE) {
		delivery->destination = d;
		delivery->is_doubtful = destinations_begin(&s->destinations, d);
		if (!verp_is(m->file.sender))
			more = add_others(s, m, c, delivery, at);
		/* As if the first were the last that was looked at. */
		recipient_channel(s, first->address);
	}
	jobs_log_status(s);
	format_job(s, m, c, delivery->job);
	if (channel_send(ch, str_view(&s->work.packet), m->memfd) == -1)
		jobs_lose_channel(s, c);
	return more;
}
