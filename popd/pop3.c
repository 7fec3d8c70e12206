#include "popd/pop3.h"

#include <errno.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/die.h"
#include "lib/linger.h"
#include "popd/wire.h"

#define READ_BYTES 65536

static void reply(struct pop3 *p, const char *text)
{
	out_put_c(&p->out, text);
	out_put_c(&p->out, "\r\n");
}

static void refuse(struct pop3 *p, const char *text)
{
	out_put_c(&p->out, "-ERR ");
	reply(p, text);
}

/* Commands without sense: a few in a row end the session, unchanged. */
static void refuse_command(struct pop3 *p, const char *text)
{
	if (++p->errors < POP3_ERRORS_MAX) {
		refuse(p, text);
		return;
	}
	refuse(p, "too many errors");
	warn("closed: too many errors");
	p->over = p->lingers = true;
}

/* ---- arguments ---- */

static struct view next_word(struct view *rest)
{
	*rest = view_trim(*rest);
	return view_cut(rest, ' ');
}

static bool is_there(const struct message *m)
{
	return !m->deleted && !m->gone;
}

/* The message that the argument names; false when that was refused. */
static bool find_message(struct pop3 *p, struct view word, size_t *i)
{
	uint64_t number;

	if (!view_u64(word, &number)) {
		refuse_command(p, "syntax error");
		return false;
	}
	if (number == 0 || number > p->drop->count) {
		refuse(p, "no such message");
		return false;
	}
	*i = (size_t)number - 1;
	if (p->drop->messages[*i].deleted) {
		refuse(p, "already deleted");
		return false;
	}
	if (p->drop->messages[*i].gone) {
		refuse(p, "this message is gone");
		return false;
	}
	return true;
}

/* ---- sizes and names ---- */

/* What cannot be read counts with its size as stored. */
static uint64_t size_of(struct pop3 *p, size_t i)
{
	struct message *m = &p->drop->messages[i];
	uint64_t octets;

	if (maildrop_size(p->drop, i, &octets) == 0)
		return octets;
	if (!m->gone) {
		warn_errno("cannot read message %zu", i + 1);
		m->octets = m->file_bytes;
		m->sized = true;
	}
	return m->file_bytes;
}

static void do_stat(struct pop3 *p)
{
	uint64_t octets = 0;
	uint64_t count = 0;

	for (size_t i = 0; i < p->drop->count; i++) {
		uint64_t size;

		if (!is_there(&p->drop->messages[i]))
			continue;
		size = size_of(p, i);
		if (!is_there(&p->drop->messages[i]))
			continue;
		octets += size;
		count++;
	}
	out_put_c(&p->out, "+OK ");
	out_u64(&p->out, count);
	out_byte(&p->out, ' ');
	out_u64(&p->out, octets);
	reply(p, "");
}

/* `number size` or `number id`; nothing when it turns out to be gone. */
static void put_entry(struct pop3 *p, size_t i, bool uid, const char *before)
{
	str_reset(&p->text);
	str_append_c(&p->text, before);
	str_append_u64(&p->text, i + 1);
	str_append_byte(&p->text, ' ');
	if (uid)
		maildrop_uid(p->drop, i, &p->text);
	else
		str_append_u64(&p->text, size_of(p, i));
	str_append_c(&p->text, "\r\n");
	if (!p->drop->messages[i].gone)
		out_put(&p->out, str_view(&p->text));
	else if (*before)
		refuse(p, "this message is gone");
}

static void do_list(struct pop3 *p, struct view arg, bool uid)
{
	size_t i;

	if (arg.len) {
		if (find_message(p, arg, &i))
			put_entry(p, i, uid, "+OK ");
		return;
	}
	reply(p, "+OK");
	for (i = 0; i < p->drop->count; i++)
		if (is_there(&p->drop->messages[i]))
			put_entry(p, i, uid, "");
	reply(p, ".");
}

/* ---- content ---- */

/* Send the file. -1 when it could not be read to its end. */
static int send_file(struct pop3 *p, int fd, struct wire *wire)
{
	char chunk[READ_BYTES];
	ssize_t got;

	do {
		got = read(fd, chunk, sizeof(chunk));
		if (got == -1 && errno != EINTR)
			return -1;
		str_reset(&p->text);
		if (got > 0)
			wire_feed(wire, view_make(chunk, (size_t)got),
				  &p->text);
		out_put(&p->out, str_view(&p->text));
	} while (got && !wire->done && !p->out.error);
	str_reset(&p->text);
	if (!wire->done)
		wire_end(wire, &p->text);
	out_put(&p->out, str_view(&p->text));
	return 0;
}

static void send_message(struct pop3 *p, size_t i, uint64_t body_lines)
{
	struct message *m = &p->drop->messages[i];
	struct wire wire;
	int fd = maildrop_read(p->drop, i);

	if (fd == -1 && m->gone) {
		refuse(p, "this message is gone");
		return;
	}
	if (fd == -1) {
		warn_errno("cannot open message %zu", i + 1);
		refuse(p, "[SYS/TEMP] unable to open that message");
		return;
	}
	reply(p, "+OK");
	wire_init(&wire, body_lines);
	if (send_file(p, fd, &wire) == -1) {
		/* Without the last dot the client knows it is not all. */
		warn_errno("cannot read message %zu", i + 1);
		p->over = true;
	} else {
		reply(p, ".");
	}
	close(fd);
	if (body_lines == WIRE_ALL && !p->over) {
		m->seen = true;
		m->octets = wire.octets;
		m->sized = true;
	}
	if (i + 1 > p->last)
		p->last = i + 1;
}

static void do_retr(struct pop3 *p, struct view arg)
{
	size_t i;

	if (find_message(p, arg, &i))
		send_message(p, i, WIRE_ALL);
}

static void do_top(struct pop3 *p, struct view arg)
{
	struct view number = next_word(&arg);
	uint64_t lines;
	size_t i;

	if (!view_u64(view_trim(arg), &lines) || lines == WIRE_ALL)
		refuse_command(p, "syntax error");
	else if (find_message(p, number, &i))
		send_message(p, i, lines);
}

/* ---- the rest ---- */

static void do_dele(struct pop3 *p, struct view arg)
{
	size_t i;

	if (!find_message(p, arg, &i))
		return;
	p->drop->messages[i].deleted = true;
	if (i + 1 > p->last)
		p->last = i + 1;
	reply(p, "+OK");
}

static void do_rset(struct pop3 *p)
{
	for (size_t i = 0; i < p->drop->count; i++)
		p->drop->messages[i].deleted = false;
	p->last = 0;
	reply(p, "+OK");
}

static void do_last(struct pop3 *p)
{
	out_put_c(&p->out, "+OK ");
	out_u64(&p->out, p->last);
	reply(p, "");
}

static void do_capa(struct pop3 *p)
{
	reply(p, "+OK\r\nTOP\r\nUIDL\r\nUSER\r\nRESP-CODES\r\nPIPELINING\r\n"
		 "EXPIRE NEVER\r\nIMPLEMENTATION valija\r\n.");
}

static void do_quit(struct pop3 *p)
{
	size_t failed = maildrop_commit(p->drop);

	p->over = true;
	if (failed == 0) {
		reply(p, "+OK");
		return;
	}
	warn_errno("cannot remove %zu messages", failed);
	refuse(p, "[SYS/TEMP] unable to remove all deleted messages");
}

static void obey(struct pop3 *p, struct view line)
{
	struct view verb = next_word(&line);
	struct view arg = view_trim(line);

	if (view_eq_nocase(verb, VIEW("STAT")))
		do_stat(p);
	else if (view_eq_nocase(verb, VIEW("LIST")))
		do_list(p, arg, false);
	else if (view_eq_nocase(verb, VIEW("UIDL")))
		do_list(p, arg, true);
	else if (view_eq_nocase(verb, VIEW("RETR")))
		do_retr(p, arg);
	else if (view_eq_nocase(verb, VIEW("TOP")))
		do_top(p, arg);
	else if (view_eq_nocase(verb, VIEW("DELE")))
		do_dele(p, arg);
	else if (view_eq_nocase(verb, VIEW("RSET")))
		do_rset(p);
	else if (view_eq_nocase(verb, VIEW("NOOP")))
		reply(p, "+OK");
	else if (view_eq_nocase(verb, VIEW("LAST")))
		do_last(p);
	else if (view_eq_nocase(verb, VIEW("CAPA")))
		do_capa(p);
	else if (view_eq_nocase(verb, VIEW("QUIT")))
		do_quit(p);
	else
		refuse_command(p, "unimplemented");
}

static void next_command(struct pop3 *p, struct str *line)
{
	unsigned errors = p->errors;

	p->in.deadline_ms = clock_mono_ms() + POP3_TIMEOUT_MS;
	switch (in_line(&p->in, line, POP3_LINE_MAX_BYTES)) {
	case IN_OK:
		obey(p, str_view(line));
		if (p->errors == errors)
			p->errors = 0;
		break;
	case IN_TOO_LONG:
		refuse_command(p, "line too long");
		break;
	case IN_TIMEOUT:
		warn("closed: timeout");
		refuse(p, "timeout");
		p->over = p->lingers = true;
		break;
	case IN_EOF:
	case IN_ERROR:
		p->over = true;
		break;
	}
}

static void flush_before_wait(void *arg)
{
	struct pop3 *p = arg;

	if (out_flush(&p->out) == -1)
		p->over = true;
}

void pop3_serve(struct pop3 *p)
{
	struct str line = { 0 };

	reply(p, "+OK");
	while (!p->over && !p->out.error)
		next_command(p, &line);
	if (out_flush(&p->out) == -1)
		warn_errno("lost: cannot write to the client");
	else if (p->lingers)
		linger(p->in.fd, p->out.fd);
	str_free(&line);
}

void pop3_init(struct pop3 *p, struct maildrop *drop)
{
	memset(p, 0, offsetof(struct pop3, in_space));
	p->drop = drop;
	in_init(&p->in, STDIN_FILENO, p->in_space, sizeof(p->in_space),
		POP3_TIMEOUT_MS);
	p->in.is_ours = true;
	out_init(&p->out, STDOUT_FILENO, p->out_space, sizeof(p->out_space),
		 POP3_TIMEOUT_MS);
	p->in.before_wait = flush_before_wait;
	p->in.before_wait_arg = p;
}

void pop3_free(struct pop3 *p)
{
	str_free(&p->text);
}
