#include "remote/smtp.h"

#include <stdlib.h>

#include "lib/address.h"
#include "lib/clock.h"
#include "lib/memory.h"
#include "lib/message.h"

/*
 * How much is sent before its replies are read. The bytes have room in the
 * socket's buffer, so that sending never waits for a server that waits until
 * its replies are read.
 */
#define WINDOW_COMMANDS 100
#define WINDOW_BYTES 8192
#define SLOWEST_RATE 500 /* bytes of a message a second */

/*
 * The envelope is a row of commands: MAIL, RCPTs, DATA. `sent` and `got` are
 * how many have gone out, and how many replies have come.
 */
struct row {
	size_t *asked; /* numbers of the recipients that are sent */
	size_t count;
	size_t sent;
	size_t got;
	size_t taken;   /* recipients */
	size_t surplus; /* recipients that were too many for it */
};

struct smtp {
	const struct smtp_plan *plan;
	struct outcome *outcome;
	struct session *session;
	struct client *client; /* the session's */
	struct row row;
	bool may_be_taken; /* the last dot is sent */
};

/* ---- words ---- */

static enum smtp_result lost(struct smtp *s)
{
	const char *host = str_c(&s->session->host);
	const char *duplicate = s->may_be_taken ? "Possible duplicate! " : "";

	if (s->client->trouble == CLIENT_NOT_SMTP)
		outcome_set(s->outcome, JOB_DEFERRED,
			    "Connected to %s but it does not speak SMTP. %s"
			    "(#4.5.0)\n",
			    host, duplicate);
	else
		outcome_set(s->outcome, JOB_DEFERRED,
			    "Connected to %s but connection died. %s"
			    "(#4.4.2)\n",
			    host, duplicate);
	s->outcome->hop_failed = true;
	session_close(s->session);
	return SMTP_ENDED;
}

/* `before` host `after`, and what the server said last. */
static void say(struct smtp *s, enum job_outcome letter, const char *before,
		const char *after)
{
	outcome_set(s->outcome, letter, "%s%s%s.\n", before,
		    str_c(&s->session->host), after);
	str_append(&s->outcome->text, VIEW("Remote host said: "));
	str_append(&s->outcome->text, str_view(&s->client->reply.text));
}

static enum smtp_result quit(struct smtp *s, enum job_outcome letter,
			     const char *after)
{
	if (s->client->reply.code == 421)
		s->outcome->hop_failed = true;
	say(s, letter, "Connected to ", after);
	session_quit(s->session);
	return SMTP_ENDED;
}

static enum job_outcome letter_of(unsigned code)
{
	return code >= 500 ? JOB_FAILED : JOB_DEFERRED;
}

/* The server has answered everything; it may be asked for another message. */
static enum smtp_result end_transaction(struct smtp *s, unsigned code)
{
	s->session->needs_rset = code != 250;
	if (code == 421) {
		s->outcome->hop_failed = true;
		session_quit(s->session);
	}
	return SMTP_ENDED;
}

/* ---- envelope ---- */

/* An address that would end its command early. */
static bool is_unsafe(struct view address)
{
	for (size_t i = 0; i < address.len; i++)
		if ((unsigned char)address.p[i] < ' ' || address.p[i] == 127)
			return true;
	return false;
}

static bool needs_smtputf8(const struct smtp *s)
{
	if (!address_is_ascii(s->plan->job->sender))
		return true;
	for (size_t i = 0; i < s->outcome->count; i++)
		if (!address_is_ascii(s->outcome->recipients[i].address))
			return true;
	return s->plan->job->smtputf8 && s->plan->measure.header8;
}

static void put_mail(struct smtp *s)
{
	const struct session *session = s->session;
	const struct encode *measure = &s->plan->measure;
	const struct job *job = s->plan->job;
	struct str line = { 0 };

	str_set(&line, VIEW("MAIL FROM:<"));
	address_quote(&line, job->sender);
	str_append_byte(&line, '>');
	if (session->has_8bitmime &&
	    (measure->header8 || measure->body8 ||
	     view_eq_nocase(job->body, VIEW("8BITMIME"))))
		str_append(&line, VIEW(" BODY=8BITMIME"));
	if (session->has_size) {
		str_append(&line, VIEW(" SIZE="));
		str_append_u64(&line, measure->bytes);
	}
	if (session->has_smtputf8 && needs_smtputf8(s))
		str_append(&line, VIEW(" SMTPUTF8"));
	str_append(&line, VIEW("\r\n"));
	client_put(s->client, str_view(&line));
	str_free(&line);
}

static void put_rcpt(struct smtp *s, struct view address)
{
	struct str line = { 0 };

	str_set(&line, VIEW("RCPT TO:<"));
	address_quote(&line, address);
	str_append(&line, VIEW(">\r\n"));
	client_put(s->client, str_view(&line));
	str_free(&line);
}

/*
 * Did the server say that there are too many for one transaction (RFC 5321
 * section 4.5.3.1.10), and not something about this recipient?
 */
static bool is_surplus(const struct reply *reply)
{
	struct view text = view_from(str_view(&reply->text), 4);

	if (reply->code != 452 && reply->code != 552)
		return false;
	if (view_starts(text, VIEW("4.")) || view_starts(text, VIEW("5.")))
		return view_starts(view_from(text, 1), VIEW(".5.3"));
	return true;
}

static void take_rcpt_reply(struct smtp *s, struct outcome_recipient *rcpt)
{
	const struct reply *reply = &s->client->reply;
	unsigned code = reply->code;

	rcpt->is_surplus = is_surplus(reply);
	if (code < 300) {
		rcpt->state = OUTCOME_TAKEN;
		str_reset(&rcpt->text);
		s->row.taken++;
		return;
	}
	s->row.surplus += rcpt->is_surplus;
	/* 552 means too many recipients here, too. */
	rcpt->state =
		code >= 500 && code != 552 ? OUTCOME_REFUSED : OUTCOME_LATER;
	str_set(&rcpt->text, str_view(&s->session->host));
	str_append(&rcpt->text, VIEW(" does not like recipient.\n"
				     "Remote host said: "));
	str_append(&rcpt->text, str_view(&reply->text));
}

/* Whose RCPT is command `at` of the row. */
static struct outcome_recipient *asked(const struct smtp *s, size_t at)
{
	return &s->outcome->recipients[s->row.asked[at - 1]];
}

static bool is_data(const struct row *row, size_t at)
{
	return at == row->count + 1;
}

static void put_command(struct smtp *s)
{
	if (s->row.sent == 0)
		put_mail(s);
	else if (is_data(&s->row, s->row.sent))
		client_put(s->client, VIEW("DATA\r\n"));
	else
		put_rcpt(s, asked(s, s->row.sent)->address);
	s->row.sent++;
}

/* All that was sent is answered: send some more. False if there is none. */
static bool put_commands(struct smtp *s)
{
	size_t window = s->session->has_pipelining ? WINDOW_COMMANDS : 1;
	struct row *row = &s->row;
	size_t bytes = 0;

	for (size_t n = 0; n < window && bytes < WINDOW_BYTES; n++) {
		if (row->sent == row->count + 2)
			return true;
		/* DATA alone is worth waiting for who is left. */
		if (n == 0 && is_data(row, row->sent) && row->taken == 0)
			return false;
		if (row->sent && !is_data(row, row->sent))
			bytes += asked(s, row->sent)->address.len + 16;
		/* The first goes in any case. */
		if (n && bytes > WINDOW_BYTES)
			return true;
		put_command(s);
	}
	return true;
}

/* All recipients are refused, but DATA may have been on its way. */
static enum smtp_result give_up(struct smtp *s, bool in_data)
{
	outcome_set(s->outcome, JOB_FAILED, "Giving up on %s.\n",
		    str_c(&s->session->host));
	s->session->needs_rset = true;
	if (in_data) {
		client_put(s->client, VIEW(".\r\n"));
		/* Nothing but the connection depends on it. */
		if (!client_reply(s->client, s->plan->times->final) ||
		    s->client->reply.code == 421)
			session_close(s->session);
	}
	return SMTP_ENDED;
}

/* What the server says to each command. SMTP_NEXT: go on with the message. */
static enum smtp_result converse(struct smtp *s)
{
	const struct session_times *times = s->plan->times;
	struct row *row = &s->row;
	unsigned code = 0;

	for (; row->got < row->count + 2; row->got++) {
		bool data = is_data(row, row->got);
		bool alive;

		if (row->got == row->sent && !put_commands(s))
			return give_up(s, false);
		alive = client_reply(s->client,
				     data ? times->data : times->command);
		code = s->client->reply.code;
		if (s->session->is_kept && row->got == 0 &&
		    (!alive || code >= 300))
			return SMTP_STALE;
		if (!alive)
			return lost(s);
		if (row->got == 0 && code >= 300)
			return quit(s, letter_of(code),
				    " but sender was rejected");
		if (row->got && !data)
			take_rcpt_reply(s, asked(s, row->got));
		/* 421: it closes, whatever was asked. */
		if (code == 421)
			return quit(s, JOB_DEFERRED, " but it is closing");
	}
	if (row->taken == 0)
		return give_up(s, code == 354);
	if (code == 354)
		return SMTP_NEXT;
	say(s, letter_of(code), "", " failed on DATA command");
	return end_transaction(s, code);
}

/* ---- message ---- */

/* Feed the message to `take`, encoded. False when it cannot be read. */
static bool encode_message(const struct job *job, struct encode *e,
			   bool (*take)(struct smtp *s, struct str *piece),
			   struct smtp *s, bool *taken)
{
	struct message_reader reader;
	struct str piece = { 0 };
	enum in_result result;
	struct view chunk;

	*taken = true;
	message_start(&reader, job);
	while ((result = in_chunk(&reader.in, &chunk)) == IN_OK && *taken) {
		encode_put(e, chunk, &piece);
		in_consume(&reader.in, chunk.len);
		*taken = take(s, &piece);
	}
	if (result == IN_EOF && *taken) {
		encode_end(e, &piece);
		*taken = take(s, &piece);
	}
	str_free(&piece);
	return result == IN_EOF || !*taken;
}

static bool drop_piece(struct smtp *s, struct str *piece)
{
	(void)s;
	str_reset(piece);
	return true;
}

static bool send_piece(struct smtp *s, struct str *piece)
{
	s->client->out.timeout_ms = s->plan->times->block;
	client_put(s->client, str_view(piece));
	str_reset(piece);
	return !s->client->out.error;
}

static enum smtp_result send_message(struct smtp *s)
{
	struct encode e = { 0 };
	unsigned code;
	bool sent;

	/* One that takes a byte a minute must lose, too. */
	s->client->out.deadline_ms =
		clock_mono_ms() + s->plan->times->block +
		(int64_t)(s->plan->measure.bytes / SLOWEST_RATE) * 1000;
	if (!encode_message(s->plan->job, &e, send_piece, s, &sent)) {
		/* Half a message: only closing keeps it from being taken. */
		outcome_set(s->outcome, JOB_DEFERRED,
			    "Unable to read message. (#4.3.0)\n");
		session_close(s->session);
		return SMTP_ENDED;
	}
	s->may_be_taken = sent;
	if (!sent || !client_reply(s->client, s->plan->times->final))
		return lost(s);
	s->may_be_taken = false;
	s->client->out.deadline_ms = 0;
	code = s->client->reply.code;
	if (code >= 300)
		say(s, letter_of(code), "", " failed after I sent the message");
	else
		say(s, JOB_DELIVERED, "", " accepted message");
	return end_transaction(s, code);
}

/* ---- transactions ---- */

/* Recipients that can be asked for; others are refused here. */
static void choose_recipients(struct smtp *s)
{
	for (size_t i = 0; i < s->outcome->count; i++) {
		struct outcome_recipient *rcpt = &s->outcome->recipients[i];

		if (!is_unsafe(rcpt->address)) {
			s->row.asked[s->row.count++] = i;
			continue;
		}
		rcpt->state = OUTCOME_REFUSED;
		str_set(&rcpt->text,
			VIEW("An address with control characters cannot be "
			     "sent. (#5.1.3)\n"));
	}
}

/* Only those that were too many before. */
static void choose_surplus(struct smtp *s)
{
	struct row before = s->row;

	s->row = (struct row){ .asked = before.asked };
	for (size_t i = 0; i < before.count; i++)
		if (s->outcome->recipients[before.asked[i]].is_surplus)
			s->row.asked[s->row.count++] = before.asked[i];
}

static enum smtp_result transact(struct smtp *s)
{
	enum smtp_result result = converse(s);

	return result == SMTP_NEXT ? send_message(s) : result;
}

/* The message's outcome becomes that of the recipients who were taken. */
static void share_outcome(struct smtp *s)
{
	for (size_t at = 1; at <= s->row.count; at++) {
		struct outcome_recipient *rcpt = asked(s, at);

		if (rcpt->state != OUTCOME_TAKEN)
			continue;
		rcpt->state = s->outcome->letter == JOB_FAILED ? OUTCOME_REFUSED
							       : OUTCOME_LATER;
		str_set(&rcpt->text, str_view(&s->outcome->text));
	}
}

/*
 * The message is accepted for some: now the same for those that were too
 * many, as long as each transaction takes more of them.
 */
static void deliver_surplus(struct smtp *s)
{
	struct str accepted = { 0 };

	str_set(&accepted, str_view(&s->outcome->text));
	while (s->session->is_open && s->row.taken && s->row.surplus &&
	       s->outcome->letter == JOB_DELIVERED) {
		s->session->is_kept = false;
		choose_surplus(s);
		if (transact(s) == SMTP_ENDED &&
		    s->outcome->letter == JOB_DELIVERED)
			str_set(&accepted, str_view(&s->outcome->text));
		else
			share_outcome(s);
	}
	s->outcome->letter = JOB_DELIVERED;
	s->outcome->hop_failed = false;
	str_set(&s->outcome->text, str_view(&accepted));
	str_free(&accepted);
}

/* What need not be asked, since its answer is known. */
static bool is_hopeless(struct smtp *s, enum smtp_result *result)
{
	struct session *session = s->session;

	*result = SMTP_ENDED;
	if (is_unsafe(s->plan->job->sender)) {
		outcome_set(s->outcome, JOB_FAILED,
			    "A sender with control characters cannot be "
			    "sent. (#5.1.7)\n");
		return true;
	}
	if (session->max_bytes && s->plan->measure.bytes > session->max_bytes) {
		outcome_set(s->outcome, JOB_FAILED,
			    "Connected to %s but it takes no message over "
			    "%llu bytes. (#5.3.4)\n",
			    str_c(&session->host),
			    (unsigned long long)session->max_bytes);
		return true;
	}
	if (s->plan->job->smtputf8 && needs_smtputf8(s) &&
	    !session->has_smtputf8) {
		outcome_set(s->outcome, JOB_FAILED,
			    "Connected to %s but it takes no "
			    "internationalized mail. (#5.6.7)\n",
			    str_c(&session->host));
		session_quit(s->session);
		*result = SMTP_NEXT;
		return true;
	}
	return false;
}

/* On an open session. */
static enum smtp_result deliver(struct smtp *s)
{
	enum smtp_result result;

	if (is_hopeless(s, &result))
		return result;
	s->row.asked = memory_zeroed(s->outcome->count, sizeof(*s->row.asked));
	choose_recipients(s);
	if (s->row.count) {
		result = transact(s);
		if (result == SMTP_ENDED &&
		    s->outcome->letter == JOB_DELIVERED) {
			s->session->messages++;
			deliver_surplus(s);
		}
	} else {
		outcome_set(s->outcome, JOB_FAILED, "Giving up on %s.\n",
			    str_c(&s->session->host));
	}
	free(s->row.asked);
	return result;
}

bool smtp_prepare(struct smtp_plan *plan, const struct job *job,
		  const struct session_times *times)
{
	bool taken;

	*plan = (struct smtp_plan){ .job = job, .times = times };
	return encode_message(job, &plan->measure, drop_piece, NULL, &taken);
}

enum smtp_result smtp_deliver(const struct smtp_plan *plan,
			      struct session *session, const struct ipaddr *ip,
			      unsigned port, struct view helo,
			      struct outcome *outcome)
{
	struct smtp s = {
		.plan = plan,
		.outcome = outcome,
		.session = session,
		.client = &session->client,
	};

	outcome->hop_failed = false;
	switch (session_open(session, ip, port, helo, plan->times)) {
	case SESSION_OPEN:
		return deliver(&s);
	case SESSION_NO_REACH:
		outcome->hop_failed = true;
		outcome_set(outcome, JOB_DEFERRED,
			    "Sorry, I wasn't able to establish an SMTP "
			    "connection. (#4.4.1)\n");
		return SMTP_NO_REACH;
	case SESSION_LOST:
		lost(&s);
		break;
	case SESSION_GREETING:
		quit(&s, JOB_DEFERRED, " but greeting failed");
		outcome->hop_failed = true;
		break;
	case SESSION_REFUSED:
		quit(&s, JOB_DEFERRED, " but my name was rejected");
		outcome->hop_failed = true;
		break;
	}
	return SMTP_NEXT;
}

/* Is the session as after its greeting? */
static bool reset(struct session *session, const struct session_times *times)
{
	if (!session_is_quiet(session))
		return false;
	if (!session->needs_rset)
		return true;
	client_put(&session->client, VIEW("RSET\r\n"));
	session->needs_rset = false;
	return client_reply(&session->client, times->command) &&
	       session->client.reply.code == 250;
}

enum smtp_result smtp_reuse(const struct smtp_plan *plan,
			    struct session *session, struct outcome *outcome)
{
	struct smtp s = {
		.plan = plan,
		.outcome = outcome,
		.session = session,
		.client = &session->client,
	};
	enum smtp_result result = SMTP_STALE;

	session->is_kept = true;
	if (reset(session, plan->times))
		result = deliver(&s);
	/* Whatever it has said: QUIT where that makes sense. */
	if (result == SMTP_STALE)
		session_quit(session);
	return result;
}
