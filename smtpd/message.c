#include "smtpd/message.h"

#include <assert.h>

#include "lib/address.h"
#include "lib/clock.h"
#include "lib/enqueue.h"
#include "lib/qfile.h"
#include "smtpd/data.h"
#include "smtpd/hops.h"
#include "smtpd/received.h"
#include "smtpd/session.h"

#define HOPS_MAX 100
#define RATE_MIN_BYTES 500                      /* a second; slower ones lose */
#define DISCARD_MAX_BYTES (UINT64_C(256) << 20) /* of what is refused anyway */
#define TEXT_MAX_BYTES 400 /* RFC 5321: 512 with the rest */

struct message {
	struct session *s;
	struct enqueue q;
	struct data data;
	struct hops hops;
	struct str text;    /* of one chunk */
	uint64_t bytes;     /* of text, lines ending in LF */
	uint64_t received;  /* from the client */
	uint64_t discarded; /* of them, after the message was refused */
	int64_t began_ms;
	enum in_result lost; /* IN_OK: the client is there */
};

static bool is_too_big(const struct message *m)
{
	uint64_t max = m->s->policy->max_bytes;

	return max && m->bytes > max;
}

static bool is_refused(const struct message *m)
{
	return m->q.code || m->data.faults || m->hops.count >= HOPS_MAX ||
	       is_too_big(m);
}

/* ---- what the queue said ---- */

/* Cut ` (#4.3.0)` off text, and return the code in it, or `otherwise`. */
static struct view cut_enhanced(struct view *text, struct view otherwise)
{
	size_t at = view_find_last(*text, '(');
	struct view code = view_from(*text, at + 1);

	if (!view_starts(code, VIEW("#")) || !view_ends(code, VIEW(")")) ||
	    code.len > 12)
		return otherwise;
	*text = view_trim_end(view_first(*text, at));
	return view_first(view_from(code, 1), code.len - 2);
}

static void refuse_for_queue(struct session *s, enum enqueue_result result,
			     struct view text)
{
	bool permanent = result == ENQUEUE_PERMANENT;
	struct str enhanced = { 0 };
	struct str shown = { 0 };

	str_append_printable(
		&enhanced,
		cut_enhanced(&text, permanent ? VIEW("5.3.0") : VIEW("4.3.0")));
	str_append_printable(&shown, view_first(text, TEXT_MAX_BYTES));
	session_log(s, permanent ? "refused message:" : "deferred message:",
		    str_view(&shown));
	session_reply(s, permanent ? 554 : 451, str_c(&enhanced),
		      str_c(&shown));
	str_free(&enhanced);
	str_free(&shown);
}

static uint64_t queue_number(const struct enqueue *q)
{
	return q->id ? q->id : (uint64_t)q->pid;
}

static void log_accepted(const struct message *m)
{
	struct str detail = { 0 };

	str_appendf(&detail, "qp %llu bytes %llu recipients %zu from <",
		    (unsigned long long)queue_number(&m->q),
		    (unsigned long long)m->bytes, m->s->recipient_count);
	address_quote(&detail, str_view(&m->s->sender));
	str_append(&detail, VIEW(">"));
	session_log(m->s, "accepted message:", str_view(&detail));
	str_free(&detail);
}

static void accept_message(struct message *m)
{
	struct str text = { 0 };

	m->s->errors = 0;
	m->s->idle = 0;
	log_accepted(m);
	str_appendf(&text, "ok %lld qp %llu by ", (long long)clock_wall_s(),
		    (unsigned long long)queue_number(&m->q));
	str_append_printable(&text, view_first(str_view(&m->s->policy->host),
					       TEXT_MAX_BYTES));
	session_reply(m->s, 250, "2.0.0", str_c(&text));
	str_free(&text);
}

/* ---- the message ---- */

static void put_received(struct message *m)
{
	struct received received = { 0 };
	struct str text = { 0 };

	received_from_environment(&received);
	received.helo = str_view(&m->s->helo);
	received.protocol = m->s->esmtp ? VIEW("ESMTP") : VIEW("SMTP");
	received_format(&text, &received, clock_wall_s());
	enqueue_put(&m->q, str_view(&text));
	str_free(&text);
}

/* Take what one chunk holds of the message. */
static void take(struct message *m, struct view chunk)
{
	size_t used = data_scan(&m->data, chunk, &m->text);

	in_consume(&m->s->in, used);
	m->received += used;
	m->bytes += m->text.len;
	hops_feed(&m->hops, str_view(&m->text));
	if (is_refused(m))
		m->discarded += used;
	else
		enqueue_put(&m->q, str_view(&m->text));
	str_reset(&m->text);
}

static int64_t deadline_ms(const struct message *m)
{
	return m->began_ms + m->s->policy->timeout_ms +
	       (int64_t)(m->received * 1000 / RATE_MIN_BYTES);
}

/* Read to the end of the message, whatever becomes of it. */
static void read_message(struct message *m)
{
	while (!data_done(&m->data) && m->discarded < DISCARD_MAX_BYTES) {
		struct view chunk;

		m->s->in.deadline_ms = deadline_ms(m);
		m->s->out.deadline_ms = m->s->in.deadline_ms;
		m->lost = in_chunk(&m->s->in, &chunk);
		if (m->lost != IN_OK)
			return;
		take(m, chunk);
	}
}

static void put_envelope(struct message *m)
{
	struct session *s = m->s;
	struct view rest = str_view(&s->recipients);

	enqueue_from(&m->q, str_view(&s->sender));
	if (s->body.len)
		enqueue_param(&m->q, QFILE_BODY, str_view(&s->body));
	enqueue_param(&m->q, QFILE_SESSION, str_view(&s->id));
	while (rest.len)
		enqueue_to(&m->q, view_cut(&rest, '\0'));
}

/* ---- the answer ---- */

static void answer_lost(struct message *m)
{
	struct session *s = m->s;

	s->over = true;
	s->lingers = m->lost == IN_TIMEOUT;
	session_log(s,
		    m->lost == IN_TIMEOUT ? "closed: timeout in DATA"
					  : "lost: client left in DATA",
		    view_make(NULL, 0));
	if (m->lost == IN_TIMEOUT)
		session_reply(s, 421, "4.4.2", "timeout");
}

static void answer_fault(struct message *m)
{
	const char *what = "bare CR in message";

	if (m->data.faults & DATA_BARE_LF)
		what = "bare LF in message";
	else if (m->data.faults & DATA_NUL)
		what = "NUL in message";
	session_log(m->s, "refused message, closed:", view_of(what));
	session_end(m->s, 550, "5.5.2", what);
}

/* The reason of ours why this message is not wanted; false without one. */
static bool answer_refused(struct message *m)
{
	if (m->lost != IN_OK) {
		answer_lost(m);
	} else if (m->data.faults) {
		answer_fault(m);
	} else if (m->hops.count >= HOPS_MAX) {
		session_log(m->s, "refused message: too many hops",
			    view_make(NULL, 0));
		session_reply(m->s, 554, "5.4.6",
			      "too many hops, this message is looping");
	} else if (is_too_big(m)) {
		session_log(m->s, "refused message: above databytes",
			    view_make(NULL, 0));
		session_reply(m->s, 552, "5.3.4",
			      "sorry, that message size exceeds my databytes "
			      "limit");
	} else {
		return false;
	}
	return true;
}

static void finish(struct message *m)
{
	bool refused = answer_refused(m);
	enum enqueue_result result;

	if (refused)
		enqueue_fail(&m->q, ENQUEUE_CODE_READ);
	else
		put_envelope(m);
	result = enqueue_close(&m->q);
	if (!refused && result == ENQUEUE_DONE)
		accept_message(m);
	else if (!refused)
		refuse_for_queue(m->s, result, str_view(&m->q.text));
	/* What follows would not be commands. */
	if (!data_done(&m->data))
		m->s->over = m->s->lingers = true;
}

/* There is no queue that takes it: say so before the client sends it. */
static void refuse_early(struct message *m)
{
	enum enqueue_result result = enqueue_close(&m->q);

	if (result == ENQUEUE_DONE)
		result = ENQUEUE_TEMPORARY;
	refuse_for_queue(m->s, result, str_view(&m->q.text));
	/* It did not wait for 354: its message must not become commands. */
	if (in_buffered(&m->s->in))
		m->s->over = m->s->lingers = true;
}

void message_receive(struct session *s)
{
	struct message m = { .s = s, .lost = IN_OK };

	assert(s->has_sender && s->recipient_count);
	enqueue_open_by(&m.q, s->homefd, s->launcher, &s->link);
	if (m.q.code) {
		refuse_early(&m);
	} else {
		session_reply(s, 354, NULL, "go ahead");
		data_init(&m.data);
		hops_init(&m.hops);
		m.began_ms = clock_mono_ms();
		put_received(&m);
		read_message(&m);
		finish(&m);
	}
	enqueue_free(&m.q);
	str_free(&m.text);
	session_reset(s);
}
