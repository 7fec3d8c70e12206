#include "send/turns.h"

#include "lib/clock.h"
#include "lib/job.h"
#include "send/jobs.h"
#include "send/message.h"
#include "send/recipients.h"
#include "send/results.h"
#include "send/send.h"

/* A job that has lasted so long says something about its host. */
#define LONG_MS 10000

/* ---- whose turn it is ---- */

/* The first of the list that may go on; it goes to the end. */
static struct message *list_turn(struct send *s, struct pass_list *list, int c)
{
	size_t i = 0;

	while (i < list->count) {
		struct message *m = list->messages[i];

		if (pass_may_go_on(s, m, c)) {
			pass_to_end(list, m);
			return m;
		}
		if (!work_close_if_over(s, m, c))
			i++;
	}
	return NULL;
}

static struct message *whose_turn(struct send *s, int c)
{
	bool fresh_first = s->work.turns[c] % 4 != 3;
	struct message *m = list_turn(s, pass_list(s, c, fresh_first), c);

	if (!m)
		m = list_turn(s, pass_list(s, c, !fresh_first), c);
	else if (pass_list(s, c, !fresh_first)->count)
		s->work.turns[c]++;
	return m;
}

/* His time is over, and his host is dead. */
static void give_up(struct send *s, struct message *m,
		    const struct qfile_recipient *rcpt)
{
	results_give_up(s, m, DUE_REMOTE, jobs_number(s, m, DUE_REMOTE), rcpt,
			str_view(&m->passes[DUE_REMOTE].destination->reason));
}

/* Give one free slot to a pass. False when none wants it. */
static bool use_slot(struct send *s, int c)
{
	struct message *m = whose_turn(s, c);
	struct qfile_recipient rcpt;
	struct qfile_cursor at;
	struct pass *pass;

	if (!m)
		return false;
	if (!work_load_or_close(s, m))
		return true;
	pass = &m->passes[c];
	rcpt = pass->next;
	at = pass->at;
	/* locals or virtualdomains may have changed since it was chosen. */
	if (recipient_channel(s, rcpt.address) == c) {
		if (c == DUE_REMOTE &&
		    pass_state_of_next(s, pass) == DESTINATION_DEAD)
			give_up(s, m, &rcpt);
		else
			jobs_start(s, m, c, &rcpt, pass->destination, &at);
	}
	pass_advance(s, m, c);
	work_close_if_over(s, m, c);
	return true;
}

/* ---- hosts that call ---- */

/* Whoever waits at this host, from the waiter's place on. */
static bool find_at_host(struct send *s, const struct message *m,
			 const struct destination *d, struct qfile_cursor *at,
			 struct qfile_recipient *rcpt)
{
	while (qfile_next(&m->file, at, rcpt))
		if (recipient_is_for_pass(s, m, DUE_REMOTE, rcpt) &&
		    view_eq_nocase(group_host(str_view(&s->work.target)),
				   str_view(&d->host)))
			return true;
	return false;
}

/* The message that waits, open; NULL when it does not any more. */
static struct message *find_waiting(struct send *s, const struct waiter *w)
{
	const struct schedule_entry *entry;
	struct qfile file;

	if (!waiter_is_current(w, &s->schedule))
		return NULL;
	entry = schedule_entry(&s->schedule, w->no);
	if (entry->flags & SCHEDULE_OPEN)
		return work_find_open(s, w->no);
	/* It is everybody's turn there. */
	if (entry->due[DUE_REMOTE] <= s->now)
		return NULL;
	if (!message_open_file(s, w->no, DUE_REMOTE, &file))
		return NULL;
	return work_adopt_file(s, w->no, &file);
}

static void answer_call(struct send *s, struct destination *d, struct waiter *w,
			bool fresh)
{
	struct message *m = find_waiting(s, w);
	struct qfile_cursor at = waiter_cursor(w);
	struct qfile_recipient rcpt;

	if (!m)
		return;
	if (!find_at_host(s, m, d, &at, &rcpt)) {
		if (!work_is_in_work(m))
			work_settle(s, m);
		return;
	}
	if (!m->passes[DUE_REMOTE].open)
		pass_open_called(s, m, fresh, str_view(&d->host));
	if (!work_load_or_close(s, m))
		return;
	group_tick(&m->passes[DUE_REMOTE].taken, rcpt.number);
	recipient_channel(s, rcpt.address);
	if (jobs_start(s, m, DUE_REMOTE, &rcpt, d, &at) &&
	    waiter_make(w, &s->schedule, m->no, &at))
		destinations_return(&s->destinations, d, fresh, w);
}

/* Give one free slot to a host that somebody waits for. False: to none. */
static bool use_call(struct send *s)
{
	struct destination *d;
	struct waiter w;
	bool fresh;

	if (!work_may_open(s) ||
	    !destinations_call(&s->destinations, clock_mono_ms(), &d, &w,
			       &fresh))
		return false;
	answer_call(s, d, &w, fresh);
	destinations_drop(&s->destinations, d);
	return true;
}

/* ---- free slots ---- */

/* Hosts that keep their jobs for long are not counted on any more. */
static void doubt_long_jobs(struct send *s)
{
	const struct channel *ch = &s->channels[DUE_REMOTE];
	int64_t now_ms = clock_mono_ms();

	if (now_ms < s->work.doubt_ms)
		return;
	s->work.doubt_ms = now_ms + LONG_MS / 10;
	for (uint64_t i = 0; i < ch->concurrency; i++) {
		struct delivery *d = &ch->deliveries[i];

		if (!d->used || d->is_doubtful ||
		    now_ms < d->begun_ms + LONG_MS)
			continue;
		d->is_doubtful = true;
		destinations_doubt(&s->destinations, d->destination);
	}
}

/* Every second slot is for those who wait for a host, as long as any are. */
static bool use_remote_slot(struct send *s)
{
	if (s->work.calls++ % 2)
		return use_call(s) || use_slot(s, DUE_REMOTE);
	return use_slot(s, DUE_REMOTE) || use_call(s);
}

static void start_channel(struct send *s, int c)
{
	struct channel *ch = &s->channels[c];

	if (c == DUE_REMOTE)
		doubt_long_jobs(s);
	work_open_all_due(s, c, true);
	work_open_all_due(s, c, false);
	while (channel_ready(ch) &&
	       (c == DUE_REMOTE ? use_remote_slot(s) : use_slot(s, c)))
		;
}

void turns_start(struct send *s)
{
	for (int c = 0; c < CHANNELS; c++) {
		if (s->exiting)
			return;
		if (channel_ready(&s->channels[c]))
			start_channel(s, c);
	}
}

/* ---- results ---- */

static struct view first_text(struct view outcomes)
{
	struct job_report report;

	return job_next_outcome(&outcomes, &report) ? report.text : VIEW("");
}

static void log_news(struct send *s, const struct destination *d,
		     const char *what)
{
	log_put(&s->log, "warning: mail for ");
	log_safe(&s->log, str_view(&d->host));
	log_put(&s->log, " %s", what);
	log_end(&s->log);
}

static void tell_destination(struct send *s, const struct delivery *d,
			     const struct job_result *result)
{
	switch (destinations_end(&s->destinations, d->destination,
				 d->is_doubtful, !result->hop_failed,
				 first_text(result->outcomes),
				 clock_mono_ms())) {
	case DESTINATION_AS_BEFORE:
		break;
	case DESTINATION_DIED:
		log_news(s, d->destination,
			 "waits: the host fails, and is tried once a minute");
		break;
	case DESTINATION_REVIVED:
		log_news(s, d->destination, "goes on: the host works again");
		break;
	}
}

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
	if (c == DUE_REMOTE)
		tell_destination(s, d, &result);
	channel_end(ch, d);
	m->passes[c].in_flight--;
	jobs_log_status(s);
	work_close_if_over(s, m, c);
	return true;
}

void turns_send_pending(struct send *s, const struct polls *polls)
{
	for (int c = 0; c < CHANNELS; c++)
		if (channel_act(&s->channels[c], polls) == -1)
			jobs_lose_channel(s, c);
}

void turns_results(struct send *s)
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

	if (due == DUE_NEVER || !pass_has_room(s, c, fresh) ||
	    !work_may_open(s))
		return;
	polls_until(deadline,
		    clock_mono_ms() + (due > s->now ? due - s->now : 0) * 1000);
}

void turns_prepare(struct send *s, int64_t *deadline)
{
	for (int c = 0; c < CHANNELS; c++) {
		if (s->exiting || !channel_ready(&s->channels[c]))
			continue;
		prepare(s, c, true, deadline);
		prepare(s, c, false, deadline);
		if (c == DUE_REMOTE)
			destinations_prepare(&s->destinations, deadline);
	}
}
