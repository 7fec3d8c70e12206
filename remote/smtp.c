#include "remote/smtp.h"

#include <stdlib.h>

#include "lib/address.h"
#include "lib/clock.h"
#include "lib/die.h"
#include "lib/message.h"
#include "remote/client.h"
#include "remote/encode.h"

#define WINDOW 100       /* commands sent before their replies are read */
#define SLOWEST_RATE 500 /* bytes of a message a second */

struct smtp {
	const struct smtp_plan *plan;
	struct outcome *outcome;
	struct client client;
	struct str host;       /* the address we are connected to */
	struct encode measure; /* what the message is made of */
	bool may_be_taken;     /* the last dot is sent */
	bool broke_at_ehlo;    /* it may like HELO alone better */
	bool has_8bitmime;
	bool has_size;
	bool has_smtputf8;
	bool has_pipelining;
	uint64_t max_bytes; /* by SIZE; 0 for no limit */
	size_t taken;       /* recipients */
};

/* ---- words ---- */

static enum smtp_result lost(struct smtp *s)
{
	if (s->client.trouble == CLIENT_NOT_SMTP)
		outcome_set(s->outcome, JOB_DEFERRED,
			    "Connected to %s but it does not speak SMTP. %s"
			    "(#4.5.0)\n",
			    str_c(&s->host),
			    s->may_be_taken ? "Possible duplicate! " : "");
	else
		outcome_set(s->outcome, JOB_DEFERRED,
			    "Connected to %s but connection died. %s"
			    "(#4.4.2)\n",
			    str_c(&s->host),
			    s->may_be_taken ? "Possible duplicate! " : "");
	return SMTP_ENDED;
}

/* `before` host `after`, and what the server said last. */
static enum smtp_result quit(struct smtp *s, enum job_outcome letter,
			     const char *before, const char *after)
{
	outcome_set(s->outcome, letter, "%s%s%s.\n", before, str_c(&s->host),
		    after);
	str_append(&s->outcome->text, VIEW("Remote host said: "));
	str_append(&s->outcome->text, str_view(&s->client.reply.text));
	client_quit(&s->client);
	return SMTP_ENDED;
}

static enum job_outcome letter_of(unsigned code)
{
	return code >= 500 ? JOB_FAILED : JOB_DEFERRED;
}

static enum smtp_result quit_connected(struct smtp *s, enum job_outcome letter,
				       const char *after)
{
	return quit(s, letter, "Connected to ", after);
}

/* ---- greeting ---- */

static void note_abilities(struct smtp *s)
{
	const struct reply *reply = &s->client.reply;
	struct view value;

	s->has_8bitmime = reply_keyword(reply, VIEW("8BITMIME"), &value);
	s->has_smtputf8 = reply_keyword(reply, VIEW("SMTPUTF8"), &value);
	s->has_pipelining = reply_keyword(reply, VIEW("PIPELINING"), &value);
	s->has_size = reply_keyword(reply, VIEW("SIZE"), &value);
	if (!s->has_size || !view_u64(value, &s->max_bytes))
		s->max_bytes = 0;
}

static bool say_hello(struct smtp *s, struct view verb)
{
	client_put(&s->client, verb);
	client_put(&s->client, s->plan->helo);
	client_put(&s->client, VIEW("\r\n"));
	return client_reply(&s->client, s->plan->times.command);
}

enum hello { HELLO_DONE, HELLO_LOST, HELLO_REFUSED, HELLO_GREETING };

/* Greeting and EHLO or, where that is not known, HELO. */
static enum hello hello(struct smtp *s)
{
	bool only_helo = s->broke_at_ehlo;

	if (!client_reply(&s->client, s->plan->times.greeting))
		return HELLO_LOST;
	if (s->client.reply.code != 220)
		return HELLO_GREETING;
	if (!only_helo) {
		unsigned code;

		s->broke_at_ehlo = !say_hello(s, VIEW("EHLO ")) ||
				   s->client.reply.code == 421;
		if (s->broke_at_ehlo)
			return HELLO_LOST;
		code = s->client.reply.code;
		if (code == 250) {
			note_abilities(s);
			return HELLO_DONE;
		}
		if (code < 500)
			return HELLO_REFUSED;
	}
	if (!say_hello(s, VIEW("HELO ")))
		return HELLO_LOST;
	return s->client.reply.code == 250 ? HELLO_DONE : HELLO_REFUSED;
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
	return s->plan->job->smtputf8 && s->measure.header8;
}

static void put_mail(struct smtp *s)
{
	const struct job *job = s->plan->job;
	struct str line = { 0 };

	str_set(&line, VIEW("MAIL FROM:<"));
	address_quote(&line, job->sender);
	str_append_byte(&line, '>');
	if (s->has_8bitmime && (s->measure.header8 || s->measure.body8 ||
				view_eq_nocase(job->body, VIEW("8BITMIME"))))
		str_append(&line, VIEW(" BODY=8BITMIME"));
	if (s->has_size) {
		str_append(&line, VIEW(" SIZE="));
		str_append_u64(&line, s->measure.bytes);
	}
	if (s->has_smtputf8 && needs_smtputf8(s))
		str_append(&line, VIEW(" SMTPUTF8"));
	str_append(&line, VIEW("\r\n"));
	client_put(&s->client, str_view(&line));
	str_free(&line);
}

static void put_rcpt(struct smtp *s, struct view address)
{
	struct str line = { 0 };

	str_set(&line, VIEW("RCPT TO:<"));
	address_quote(&line, address);
	str_append(&line, VIEW(">\r\n"));
	client_put(&s->client, str_view(&line));
	str_free(&line);
}

static void take_rcpt_reply(struct smtp *s, struct outcome_recipient *rcpt)
{
	unsigned code = s->client.reply.code;

	if (code < 300) {
		rcpt->state = OUTCOME_TAKEN;
		s->taken++;
		return;
	}
	/* 552 means too many recipients here (RFC 5321 section 4.5.3.1.10). */
	rcpt->state =
		code >= 500 && code != 552 ? OUTCOME_REFUSED : OUTCOME_LATER;
	str_set(&rcpt->text, str_view(&s->host));
	str_append(&rcpt->text, VIEW(" does not like recipient.\n"
				     "Remote host said: "));
	str_append(&rcpt->text, str_view(&s->client.reply.text));
}

/*
 * The envelope is a row of commands: MAIL, RCPTs, DATA. `sent` and `got` are
 * how many have gone out, and how many replies have come.
 */
struct row {
	size_t *asked; /* numbers of the recipients that are sent */
	size_t count;
	size_t sent;
	size_t got;
};

/* Whose RCPT is command `at` of the row. */
static struct outcome_recipient *asked(const struct smtp *s,
				       const struct row *row, size_t at)
{
	return &s->outcome->recipients[row->asked[at - 1]];
}

static void put_command(struct smtp *s, const struct row *row)
{
	if (row->sent == 0)
		put_mail(s);
	else if (row->sent <= row->count)
		put_rcpt(s, asked(s, row, row->sent)->address);
	else
		client_put(&s->client, VIEW("DATA\r\n"));
}

/* Without pipelining, a command waits for the reply before it. */
static void put_commands(struct smtp *s, struct row *row)
{
	size_t window = s->has_pipelining ? WINDOW : 1;

	while (row->sent < row->count + 2 && row->sent - row->got < window) {
		/* DATA alone is worth waiting for who is left. */
		if (row->sent == row->count + 1 && !s->has_pipelining &&
		    s->taken == 0)
			break;
		put_command(s, row);
		row->sent++;
	}
}

/* All recipients are refused, but DATA was on its way. */
static enum smtp_result give_up(struct smtp *s, bool in_data)
{
	outcome_set(s->outcome, JOB_FAILED, "Giving up on %s.\n",
		    str_c(&s->host));
	if (in_data) {
		client_put(&s->client, VIEW(".\r\n"));
		if (!client_reply(&s->client, s->plan->times.final)) {
			/* Nothing depends on it. */
		}
	}
	client_quit(&s->client);
	return SMTP_ENDED;
}

/* SMTP_NEXT here means: go on with the message. */
static enum smtp_result converse(struct smtp *s, struct row *row)
{
	const struct smtp_times *times = &s->plan->times;
	unsigned code = 0;

	for (; row->got < row->count + 2; row->got++) {
		bool is_data = row->got == row->count + 1;

		if (row->got == row->sent)
			put_commands(s, row);
		if (row->got == row->sent)
			return give_up(s, false);
		if (!client_reply(&s->client,
				  is_data ? times->data : times->command))
			return lost(s);
		code = s->client.reply.code;
		if (row->got == 0 && code >= 300)
			return quit_connected(s, letter_of(code),
					      " but sender was rejected");
		if (row->got && !is_data)
			take_rcpt_reply(s, asked(s, row, row->got));
		/* 421: it closes, whatever was asked. */
		if (code == 421)
			return quit_connected(s, JOB_DEFERRED,
					      " but it is closing");
	}
	if (s->taken == 0)
		return give_up(s, code == 354);
	if (code != 354)
		return quit(s, letter_of(code), "", " failed on DATA command");
	return SMTP_NEXT;
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
	s->client.out.timeout_ms = s->plan->times.block;
	client_put(&s->client, str_view(piece));
	str_reset(piece);
	return !s->client.out.error;
}

static enum smtp_result send_message(struct smtp *s)
{
	struct encode e = { 0 };
	unsigned code;
	bool sent;

	/* One that takes a byte a minute must lose, too. */
	s->client.out.deadline_ms =
		clock_mono_ms() + s->plan->times.block +
		(int64_t)(s->measure.bytes / SLOWEST_RATE) * 1000;
	if (!encode_message(s->plan->job, &e, send_piece, s, &sent)) {
		/* Half a message: only closing keeps it from being taken. */
		outcome_set(s->outcome, JOB_DEFERRED,
			    "Unable to read message. (#4.3.0)\n");
		return SMTP_ENDED;
	}
	s->may_be_taken = sent;
	if (!sent || !client_reply(&s->client, s->plan->times.final))
		return lost(s);
	s->may_be_taken = false;
	code = s->client.reply.code;
	if (code >= 300)
		return quit(s, letter_of(code), "",
			    " failed after I sent the message");
	return quit(s, JOB_DELIVERED, "", " accepted message");
}

/* ---- all of it ---- */

/* Recipients that can be asked for; others are refused here. */
static void choose_recipients(struct smtp *s, struct row *row)
{
	for (size_t i = 0; i < s->outcome->count; i++) {
		struct outcome_recipient *rcpt = &s->outcome->recipients[i];

		if (!is_unsafe(rcpt->address)) {
			row->asked[row->count++] = i;
			continue;
		}
		rcpt->state = OUTCOME_REFUSED;
		str_set(&rcpt->text,
			VIEW("An address with control characters cannot be "
			     "sent. (#5.1.3)\n"));
	}
}

static enum smtp_result transact(struct smtp *s)
{
	struct row row = { 0 };
	enum smtp_result result;

	if (is_unsafe(s->plan->job->sender)) {
		client_quit(&s->client);
		outcome_set(s->outcome, JOB_FAILED,
			    "A sender with control characters cannot be "
			    "sent. (#5.1.7)\n");
		return SMTP_ENDED;
	}
	if (s->max_bytes && s->measure.bytes > s->max_bytes) {
		client_quit(&s->client);
		outcome_set(s->outcome, JOB_FAILED,
			    "Connected to %s but it takes no message over "
			    "%llu bytes. (#5.3.4)\n",
			    str_c(&s->host), (unsigned long long)s->max_bytes);
		return SMTP_ENDED;
	}
	if (s->plan->job->smtputf8 && needs_smtputf8(s) && !s->has_smtputf8) {
		client_quit(&s->client);
		outcome_set(s->outcome, JOB_FAILED,
			    "Connected to %s but it takes no "
			    "internationalized mail. (#5.6.7)\n",
			    str_c(&s->host));
		return SMTP_ENDED;
	}
	row.asked = calloc(s->outcome->count + 1, sizeof(*row.asked));
	if (!row.asked)
		die(EXIT_RETRY, "out of memory");
	choose_recipients(s, &row);
	if (row.count == 0) {
		client_quit(&s->client);
		outcome_set(s->outcome, JOB_FAILED, "Giving up on %s.\n",
			    str_c(&s->host));
		result = SMTP_ENDED;
	} else {
		result = converse(s, &row);
	}
	free(row.asked);
	return result == SMTP_NEXT ? send_message(s) : result;
}

static enum smtp_result session(struct smtp *s)
{
	switch (hello(s)) {
	case HELLO_DONE:
		return transact(s);
	case HELLO_LOST:
		lost(s);
		return SMTP_NEXT;
	case HELLO_GREETING:
		quit_connected(s, JOB_DEFERRED, " but greeting failed");
		return SMTP_NEXT;
	case HELLO_REFUSED:
		quit_connected(s, JOB_DEFERRED, " but my name was rejected");
		return SMTP_NEXT;
	}
	return SMTP_ENDED;
}

static bool measure(struct smtp *s)
{
	bool taken;

	return encode_message(s->plan->job, &s->measure, drop_piece, s, &taken);
}

enum smtp_result smtp_deliver(const struct smtp_plan *plan,
			      const struct ipaddr *ip, unsigned port,
			      struct outcome *outcome)
{
	struct smtp s = { .plan = plan, .outcome = outcome };
	enum smtp_result result = SMTP_NO_REACH;

	if (!measure(&s)) {
		outcome_set(outcome, JOB_DEFERRED,
			    "Unable to read message. (#4.3.0)\n");
		return SMTP_ENDED;
	}
	ipaddr_format(&s.host, ip);
	/* Some break at EHLO: once more, with HELO alone. */
	for (int tries = 0; tries == 0 || (tries == 1 && s.broke_at_ehlo);
	     tries++) {
		if (client_connect(&s.client, ip, port, plan->times.connect) ==
		    -1)
			break;
		result = session(&s);
		client_close(&s.client);
	}
	if (result == SMTP_NO_REACH)
		outcome_set(outcome, JOB_DEFERRED,
			    "Sorry, I wasn't able to establish an SMTP "
			    "connection. (#4.4.1)\n");
	str_free(&s.host);
	return result;
}
