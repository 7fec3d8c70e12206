#include "smtpd/session.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/address.h"
#include "lib/clock.h"
#include "lib/die.h"
#include "lib/linger.h"
#include "lib/qfile.h"
#include "smtpd/message.h"

#define COMMAND_MAX_BYTES 4096 /* RFC 5321 section 4.5.3.1: at least 512 */
#define ERRORS_MAX 10          /* in a row */
#define IDLE_MAX 5000          /* commands that bring no mail */
#define RECIPIENTS_MAX_BYTES ((size_t)4 << 20)
#define HELO_MAX_BYTES 300
#define FAREWELL_MS 5000 /* for the last reply to leave */

/* ---- saying ---- */

void session_log(const struct session *s, const char *event, struct view detail)
{
	struct str line = { 0 };

	str_append(&line, str_view(&s->id));
	str_appendf(&line, " %s", event);
	if (detail.len) {
		str_append(&line, VIEW(" "));
		log_escape(&line, detail);
	}
	warn("%s", str_c(&line));
	str_free(&line);
}

void session_reply(struct session *s, unsigned code, const char *enhanced,
		   const char *text)
{
	out_u64(&s->out, code);
	out_byte(&s->out, ' ');
	if (enhanced && s->esmtp) {
		out_put_c(&s->out, enhanced);
		out_byte(&s->out, ' ');
	}
	out_put_c(&s->out, text);
	if (enhanced && !s->esmtp && code >= 400) {
		out_put_c(&s->out, " (#");
		out_put_c(&s->out, enhanced);
		out_byte(&s->out, ')');
	}
	out_put_c(&s->out, "\r\n");
}

void session_end(struct session *s, unsigned code, const char *enhanced,
		 const char *text)
{
	session_reply(s, code, enhanced, text);
	s->lingers = true;
	s->over = true;
}

/* Asking and never sending: in the long run that ends the session too. */
static void reply_idle(struct session *s, unsigned code, const char *enhanced,
		       const char *text)
{
	if (++s->idle <= IDLE_MAX) {
		session_reply(s, code, enhanced, text);
		return;
	}
	session_log(s, "closed: too many commands", view_make(NULL, 0));
	session_end(s, 421, "4.7.0", "too many commands");
}

/* A command that makes no sense: a few of them in a row end the session. */
static void refuse_command(struct session *s, unsigned code,
			   const char *enhanced, const char *text)
{
	if (++s->errors < ERRORS_MAX) {
		session_reply(s, code, enhanced, text);
		return;
	}
	session_log(s, "closed: too many errors", view_make(NULL, 0));
	session_end(s, 421, "4.7.0", "too many errors, closing");
}

/* ---- the transaction ---- */

void session_reset(struct session *s)
{
	s->has_sender = false;
	s->sender_is_bad = false;
	s->refused = 0;
	s->recipient_count = 0;
	str_reset(&s->sender);
	str_reset(&s->body);
	str_reset(&s->recipients);
}

static void do_helo(struct session *s, struct view arg, bool esmtp)
{
	if (arg.len == 0 && s->policy->strict) {
		refuse_command(s, 501, "5.5.4", "a host name is required");
		return;
	}
	session_reset(s);
	s->esmtp = esmtp;
	s->idle += esmtp;
	str_set(&s->helo, view_first(arg, HELO_MAX_BYTES));
	if (!esmtp || s->idle >= IDLE_MAX) {
		reply_idle(s, 250, NULL, str_c(&s->policy->greeting));
		return;
	}
	out_put_c(&s->out, "250-");
	out_put_c(&s->out, str_c(&s->policy->greeting));
	out_put_c(&s->out, "\r\n250-PIPELINING\r\n250-SIZE ");
	out_u64(&s->out, s->policy->max_bytes);
	out_put_c(&s->out, "\r\n250-ENHANCEDSTATUSCODES\r\n250 8BITMIME\r\n");
}

/* What both MAIL and RCPT say when their line makes no sense. */
static void refuse_path(struct session *s, enum command_result result,
			struct view arg, bool sender)
{
	session_log(s,
		    sender ? "refused sender: syntax:"
			   : "refused recipient: syntax:",
		    arg);
	switch (result) {
	case COMMAND_OK:
		break;
	case COMMAND_SYNTAX:
		refuse_command(s, 501, "5.5.4", "syntax error");
		break;
	case COMMAND_ADDRESS:
		refuse_command(s, 501, sender ? "5.1.7" : "5.1.3",
			       "syntax error in the address");
		break;
	case COMMAND_PARAMETER:
		refuse_command(s, 555, "5.5.4", "parameter not implemented");
		break;
	}
}

/* Nobody offered SMTPUTF8 yet (RFC 6531 section 3.5). */
static bool refuse_8bit(struct session *s, struct view address)
{
	if (address_is_ascii(address))
		return false;
	session_log(s, "refused address: not ASCII:", address);
	refuse_command(s, 553, "5.6.7", "sorry, the address is not ASCII");
	return true;
}

static void begin_transaction(struct session *s, struct str *address,
			      const struct mail_parameters *mail)
{
	session_reset(s);
	s->has_sender = true;
	str_set(&s->sender, str_view(address));
	str_set(&s->body, mail->body);
	s->sender_is_bad =
		policy_sender_is_bad(s->policy, str_view(&s->sender));
	s->errors = 0;
	session_reply(s, 250, "2.1.0", "ok");
}

static bool is_too_big(const struct session *s, uint64_t size)
{
	return s->policy->max_bytes && size > s->policy->max_bytes;
}

static void do_mail(struct session *s, struct view arg)
{
	struct mail_parameters mail = { 0 };
	struct str address = { 0 };
	struct view parameters;
	enum command_result result;

	if (s->has_sender || (s->policy->strict && s->helo.len == 0)) {
		refuse_command(s, 503, "5.5.1",
			       s->has_sender ? "one MAIL at a time"
					     : "HELO first");
		return;
	}
	result = command_path(arg, VIEW("FROM"), s->policy->strict, &address,
			      &parameters);
	if (result == COMMAND_OK)
		result = command_mail_parameters(parameters, &mail);
	if (result != COMMAND_OK) {
		refuse_path(s, result, arg, true);
	} else if (is_too_big(s, mail.size)) {
		session_log(s, "refused message: SIZE above databytes:", arg);
		session_reply(s, 552, "5.3.4",
			      "sorry, that message size exceeds my databytes "
			      "limit");
	} else if (!refuse_8bit(s, str_view(&address))) {
		begin_transaction(s, &address, &mail);
	}
	str_free(&address);
}

static void refuse_recipient(struct session *s, const char *why,
			     struct view address, unsigned code,
			     const char *enhanced, const char *text)
{
	s->refused++;
	session_log(s, why, address);
	reply_idle(s, code, enhanced, text);
}

static bool has_room(const struct session *s, struct view address)
{
	uint64_t max = s->policy->max_recipients;

	return (max == 0 || s->recipient_count < max) &&
	       s->recipients.len + address.len < RECIPIENTS_MAX_BYTES;
}

static void add_recipient(struct session *s, struct view address)
{
	str_append(&s->recipients, address);
	str_append_byte(&s->recipients, '\0');
	s->recipient_count++;
	s->errors = 0;
	session_reply(s, 250, "2.1.5", "ok");
}

static void consider_recipient(struct session *s, struct str *address)
{
	enum policy_answer answer;

	if (s->sender_is_bad) {
		refuse_recipient(s, "refused sender: badmailfrom:",
				 str_view(&s->sender), 553, "5.7.1",
				 "sorry, your envelope sender is in my "
				 "badmailfrom list");
		return;
	}
	answer = policy_recipient(s->policy, address);
	if (answer == POLICY_REFUSED)
		refuse_recipient(s, "refused recipient: not in rcpthosts:",
				 str_view(address), 553, "5.7.1",
				 "sorry, that domain isn't in my list of "
				 "allowed rcpthosts");
	else if (answer == POLICY_ERROR)
		refuse_recipient(s, "deferred recipient: rcpthosts unreadable:",
				 str_view(address), 451, "4.3.0",
				 "unable to read controls");
	else if (!has_room(s, str_view(address)))
		refuse_recipient(
			s, "deferred recipient: too many:", str_view(address),
			452, "4.5.3", "sorry, too many recipients");
	else if (address->len > QFILE_ADDRESS_MAX)
		refuse_recipient(
			s, "refused recipient: too long:", str_view(address),
			501, "5.1.3", "sorry, the address is too long");
	else
		add_recipient(s, str_view(address));
}

static void do_rcpt(struct session *s, struct view arg)
{
	struct str address = { 0 };
	struct view parameters;
	enum command_result result;

	if (!s->has_sender) {
		refuse_command(s, 503, "5.5.1", "MAIL first");
		return;
	}
	result = command_path(arg, VIEW("TO"), s->policy->strict, &address,
			      &parameters);
	if (result == COMMAND_OK && address.len == 0)
		result = COMMAND_ADDRESS; /* <> receives nothing */
	if (result == COMMAND_OK)
		result = command_rcpt_parameters(parameters);
	if (result != COMMAND_OK) {
		s->refused++;
		refuse_path(s, result, arg, false);
	} else if (!refuse_8bit(s, str_view(&address))) {
		consider_recipient(s, &address);
	} else {
		s->refused++;
	}
	str_free(&address);
}

/*
 * DATA was not accepted. A client that has already sent what should follow
 * it did not wait for our answer: its message must not become commands.
 */
static void refuse_data(struct session *s, unsigned code, const char *enhanced,
			const char *text)
{
	if (in_buffered(&s->in) == 0) {
		refuse_command(s, code, enhanced, text);
		return;
	}
	session_log(s, "closed: input after a refused DATA",
		    view_make(NULL, 0));
	session_end(s, code, enhanced, text);
}

static void do_data(struct session *s, struct view arg)
{
	if (arg.len)
		refuse_data(s, 501, "5.5.4", "DATA takes no argument");
	else if (!s->has_sender)
		refuse_data(s, 503, "5.5.1", "MAIL first");
	else if (s->recipient_count == 0)
		refuse_data(s, s->refused ? 554 : 503, "5.5.1",
			    s->refused ? "no valid recipients" : "RCPT first");
	else
		message_receive(s);
}

/* ---- commands ---- */

static void obey(struct session *s, struct view line)
{
	struct command command = command_parse(line);

	switch (command.verb) {
	case VERB_UNKNOWN:
		refuse_command(s, 500, "5.5.1", "command unrecognized");
		break;
	case VERB_FOREIGN:
		session_log(s, "closed: not SMTP:", line);
		session_end(s, 554, "5.5.1", "this is an SMTP server");
		break;
	case VERB_HELO:
	case VERB_EHLO:
		do_helo(s, command.arg, command.verb == VERB_EHLO);
		break;
	case VERB_MAIL:
		do_mail(s, command.arg);
		break;
	case VERB_RCPT:
		do_rcpt(s, command.arg);
		break;
	case VERB_DATA:
		do_data(s, command.arg);
		break;
	case VERB_RSET:
		session_reset(s);
		reply_idle(s, 250, "2.0.0", "flushed");
		break;
	case VERB_NOOP:
		reply_idle(s, 250, "2.0.0", "ok");
		break;
	case VERB_QUIT:
		session_reply(s, 221, "2.0.0", str_c(&s->policy->greeting));
		s->over = true;
		break;
	case VERB_HELP:
		reply_idle(s, 214, "2.0.0",
			   "HELO EHLO MAIL RCPT DATA RSET NOOP QUIT VRFY");
		break;
	case VERB_VRFY:
		reply_idle(s, 252, "2.5.0", "send some mail, i'll try my best");
		break;
	case VERB_UNIMPLEMENTED:
		refuse_command(s, 502, "5.5.1", "unimplemented");
		break;
	}
}

/* A line as it came, CR included; false when it must not be obeyed. */
static bool check_line(struct session *s, struct str *line)
{
	bool crlf = view_ends(str_view(line), VIEW("\r"));

	if (crlf)
		str_truncate(line, line->len - 1);
	if (view_has(str_view(line), '\0') || view_has(str_view(line), '\r')) {
		session_log(
			s, "refused command: NUL or CR in it:", str_view(line));
		refuse_command(s, 500, "5.5.2", "NUL or bare CR in a command");
		return false;
	}
	if (!crlf && s->policy->strict) {
		session_log(s, "closed: bare LF in a command", str_view(line));
		session_end(s, 554, "5.5.2", "commands end in CRLF");
		return false;
	}
	return true;
}

static void lose(struct session *s, enum in_result how)
{
	s->over = true;
	s->lingers = how == IN_TIMEOUT;
	if (how != IN_TIMEOUT)
		return;
	session_log(s, "closed: timeout", view_make(NULL, 0));
	session_reply(s, 421, "4.4.2", "timeout");
}

static void next_command(struct session *s, struct str *line)
{
	enum in_result result;

	s->in.deadline_ms = clock_mono_ms() + s->policy->timeout_ms;
	s->out.deadline_ms = s->in.deadline_ms;
	result = in_line_raw(&s->in, line, COMMAND_MAX_BYTES);
	switch (result) {
	case IN_OK:
		if (check_line(s, line))
			obey(s, str_view(line));
		break;
	case IN_TOO_LONG:
		session_log(s, "refused command: too long", view_make(NULL, 0));
		refuse_command(s, 500, "5.5.2", "line too long");
		break;
	case IN_EOF:
	case IN_TIMEOUT:
	case IN_ERROR:
		lose(s, result);
		break;
	}
}

static void flush_before_wait(void *arg)
{
	struct session *s = arg;

	if (out_flush(&s->out) == -1)
		s->over = true;
}

int session_serve(struct session *s)
{
	struct str line = { 0 };

	out_put_c(&s->out, "220 ");
	out_put_c(&s->out, str_c(&s->policy->greeting));
	out_put_c(&s->out, " ESMTP\r\n");
	while (!s->over)
		next_command(s, &line);
	str_free(&line);
	/* A client that was too slow is still told so. */
	s->out.deadline_ms = clock_mono_ms() + FAREWELL_MS;
	if (out_flush(&s->out) == -1)
		return -1;
	if (s->lingers)
		linger(s->in.fd, s->out.fd);
	return 0;
}

static struct view remote_ip(void)
{
	struct view ip = view_of(getenv("TCPREMOTEIP"));

	return ip.len ? view_first(ip, 64) : VIEW("unknown");
}

void session_init(struct session *s, int homefd, struct policy *policy)
{
	memset(s, 0, offsetof(struct session, in_space));
	s->homefd = homefd;
	s->link.sock = -1;
	s->policy = policy;
	in_init(&s->in, STDIN_FILENO, s->in_space, sizeof(s->in_space),
		policy->timeout_ms);
	s->in.is_ours = true;
	out_init(&s->out, STDOUT_FILENO, s->out_space, sizeof(s->out_space),
		 policy->timeout_ms);
	s->in.before_wait = flush_before_wait;
	s->in.before_wait_arg = s;
	str_append_u64(&s->id, (uint64_t)getpid());
	str_append(&s->id, VIEW(" "));
	log_escape(&s->id, remote_ip());
}

void session_free(struct session *s)
{
	enqueue_link_close(&s->link);
	str_free(&s->id);
	str_free(&s->helo);
	str_free(&s->sender);
	str_free(&s->body);
	str_free(&s->recipients);
}
