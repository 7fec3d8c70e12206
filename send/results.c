#include "send/results.h"

#include "send/message.h"
#include "send/reports.h"
#include "send/send.h"

#define TOO_LONG                                                               \
	"I'm not going to try again; this message has been in the queue too "  \
	"long.\n"

/* One recipient of a delivery that is answered. */
struct answered {
	struct message *message;
	int c;
	uint64_t job; /* his number in the log */
	const struct delivery_recipient *rcpt;
};

static void log_result(struct send *s, const struct answered *a,
		       const char *what, struct view text)
{
	log_put(&s->log, "delivery %lu: %s: ", (unsigned long)a->job, what);
	log_safe(&s->log, text);
	log_end(&s->log);
}

static void fail(struct send *s, const struct answered *a, struct view text)
{
	struct message *m = a->message;
	struct str path = { 0 };

	log_result(s, a, "failure", text);
	qformat_path(&s->format, &path, "bounce", m->id);
	/* The mark is what counts; without a report the bounce says less. */
	if (reports_append(s->homefd, str_c(&path), &m->reports_end,
			   a->rcpt->number, text) == -1)
		log_errno(&s->log, "warning: unable to append to %s",
			  str_c(&path));
	message_mark(s, m, a->rcpt->state_offset, QFILE_FAILED);
	str_free(&path);
}

/* Deferred, but the message is too old. */
static void fail_late(struct send *s, const struct answered *a,
		      struct view text)
{
	struct str whole = { 0 };

	str_append(&whole, text);
	if (whole.len && !view_ends(text, VIEW("\n")))
		str_append_byte(&whole, '\n');
	str_append_c(&whole, TOO_LONG);
	fail(s, a, str_view(&whole));
	str_free(&whole);
}

static bool is_last_pass(const struct answered *a)
{
	return a->message->passes[a->c].last;
}

static void apply(struct send *s, const struct answered *a,
		  const struct job_report *report)
{
	switch (report->outcome) {
	case JOB_DELIVERED:
		log_result(s, a, "success", report->text);
		message_mark(s, a->message, a->rcpt->state_offset,
			     QFILE_DELIVERED);
		break;
	case JOB_FAILED:
		fail(s, a, report->text);
		break;
	case JOB_DEFERRED:
		if (is_last_pass(a))
			fail_late(s, a, report->text);
		else
			log_result(s, a, "deferral", report->text);
		break;
	}
}

/* Without a report of his, nobody knows what became of him. */
static void apply_result(struct send *s, const struct answered *a,
			 struct view outcomes)
{
	struct job_report report;

	while (job_next_outcome(&outcomes, &report))
		if (report.recipient == a->rcpt->number) {
			apply(s, a, &report);
			return;
		}
	if (is_last_pass(a))
		fail_late(s, a, VIEW(""));
	else
		log_line(&s->log, "delivery %lu: report mangled, will defer",
			 (unsigned long)a->job);
}

void results_apply(struct send *s, const struct delivery *d, int c,
		   struct view outcomes)
{
	for (size_t i = 0; i < d->count; i++) {
		const struct answered one = {
			.message = d->message,
			.c = c,
			.job = d->job + i,
			.rcpt = &d->recipients[i],
		};

		apply_result(s, &one, outcomes);
	}
}

void results_give_up(struct send *s, struct message *m, int c, uint64_t number,
		     const struct qfile_recipient *rcpt, struct view text)
{
	const struct delivery_recipient one = {
		.number = rcpt->number,
		.state_offset = rcpt->state_offset,
	};
	const struct answered answered = {
		.message = m,
		.c = c,
		.job = number,
		.rcpt = &one,
	};

	fail_late(s, &answered, text);
}
