#include "popd/parser.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/die.h"
#include "lib/in.h"
#include "lib/linger.h"
#include "lib/out.h"

#define LOG_IN_MS 600000 /* in all; RFC 1939: at least 10 minutes */
#define LINE_MAX_BYTES 1024
#define ERRORS_MAX 10
#define FAREWELL_MS 5000 /* for the last reply to leave */

struct parser {
	struct in in; /* first: the reader below finds us by it */
	ssize_t (*read)(struct in *in, void *to, size_t size);
	struct out out;
	struct str user;
	struct credentials *credentials;
	unsigned errors;
	bool lingers; /* we end it, not the client */
	bool over;
	bool complete;
	char in_space[LINE_MAX_BYTES];
	char out_space[1024];
};

void parser_log(const char *event, struct view detail)
{
	struct view ip = view_of(getenv("TCPREMOTEIP"));
	struct str line = { 0 };

	str_appendf(&line, "%ld ", (long)getpid());
	log_escape(&line, ip.len ? view_first(ip, 64) : VIEW("unknown"));
	str_appendf(&line, " %s", event);
	if (detail.len) {
		str_append_byte(&line, ' ');
		log_escape(&line, view_first(detail, 300));
	}
	warn("%s", str_c(&line));
	str_free(&line);
}

/*
 * Up to the end of a line and no further. The first byte is waited for; how
 * many follow in this line, a socket tells by peeking. From what is no
 * socket the line is taken byte by byte.
 */
static ssize_t read_line_part(struct in *in, void *to, size_t size)
{
	struct parser *p = (struct parser *)(void *)in;
	char *bytes = to;
	ssize_t got = p->read(in, to, 1);
	size_t line;

	if (got != 1 || bytes[0] == '\n' || size == 1)
		return got;
	got = recv(in->fd, bytes + 1, size - 1, MSG_PEEK | MSG_DONTWAIT);
	if (got <= 0)
		return 1;
	line = view_find(view_make(bytes + 1, (size_t)got), '\n');
	if (line < (size_t)got)
		line++;
	got = recv(in->fd, bytes + 1, line, MSG_DONTWAIT);
	return got <= 0 ? 1 : got + 1;
}

static void reply(struct parser *p, const char *text)
{
	out_put_c(&p->out, text);
	out_put_c(&p->out, "\r\n");
}

static void refuse(struct parser *p, const char *text)
{
	if (++p->errors >= ERRORS_MAX) {
		parser_log("closed: too many errors", view_make(NULL, 0));
		reply(p, "-ERR too many errors");
		p->over = p->lingers = true;
		return;
	}
	out_put_c(&p->out, "-ERR ");
	reply(p, text);
}

/* ---- commands ---- */

static void accept_secret(struct parser *p, struct view user,
			  struct view secret)
{
	struct str *text = &p->credentials->text;

	if (user.len == 0 || secret.len == 0) {
		refuse(p, "syntax error");
		return;
	}
	if (user.len + secret.len + 2 > PARSER_MAX_BYTES) {
		refuse(p, "[AUTH] too long");
		return;
	}
	/* All at once: growing would leave copies behind. */
	str_reserve(text, user.len + secret.len + 2);
	str_append(text, user);
	str_append_byte(text, '\0');
	str_append(text, secret);
	str_append_byte(text, '\0');
	p->complete = p->over = true;
}

static void do_user(struct parser *p, struct view arg)
{
	arg = view_trim(arg);
	if (arg.len == 0) {
		refuse(p, "syntax error");
		return;
	}
	str_set(&p->user, arg);
	reply(p, "+OK");
}

/* One blank ends the word PASS; all others belong to the password. */
static void do_pass(struct parser *p, struct view arg)
{
	if (p->user.len == 0)
		refuse(p, "USER first");
	else
		accept_secret(p, str_view(&p->user), arg);
}

static void do_apop(struct parser *p, struct view arg)
{
	size_t blank;

	arg = view_trim(arg);
	blank = view_find_last(arg, ' ');
	accept_secret(p, view_trim(view_first(arg, blank)),
		      view_from(arg, blank + 1));
}

static void do_capa(struct parser *p)
{
	reply(p, "+OK\r\nTOP\r\nUIDL\r\nUSER\r\nRESP-CODES\r\nAUTH-RESP-CODE"
		 "\r\nPIPELINING\r\nEXPIRE NEVER\r\nIMPLEMENTATION valija\r\n"
		 ".");
}

/* What only a browser says, or whoever speaks through one. */
static bool is_http(struct view verb)
{
	static const struct view verbs[] = {
		{ "GET", 3 },     { "PUT", 3 },     { "HEAD", 4 },
		{ "POST", 4 },    { "PATCH", 5 },   { "DELETE", 6 },
		{ "OPTIONS", 7 }, { "CONNECT", 7 },
	};

	for (size_t i = 0; i < COUNT_OF(verbs); i++)
		if (view_eq_nocase(verb, verbs[i]))
			return true;
	return view_ends(verb, VIEW(":"));
}

static void do_other(struct parser *p, struct view verb)
{
	if (!is_http(verb)) {
		refuse(p, "authorization first");
		return;
	}
	parser_log("closed: not POP3", view_make(NULL, 0));
	reply(p, "-ERR this is a POP3 server");
	p->over = p->lingers = true;
}

static void do_quit(struct parser *p)
{
	reply(p, "+OK");
	p->over = true;
}

static void obey(struct parser *p, struct view line)
{
	struct view arg = line;
	struct view verb = view_cut(&arg, ' ');

	if (view_has(line, '\0'))
		refuse(p, "NUL in a command");
	else if (view_eq_nocase(verb, VIEW("USER")))
		do_user(p, arg);
	else if (view_eq_nocase(verb, VIEW("PASS")))
		do_pass(p, arg);
	else if (view_eq_nocase(verb, VIEW("APOP")))
		do_apop(p, arg);
	else if (view_eq_nocase(verb, VIEW("CAPA")))
		do_capa(p);
	else if (view_eq_nocase(verb, VIEW("NOOP")))
		reply(p, "+OK");
	else if (view_eq_nocase(verb, VIEW("QUIT")))
		do_quit(p);
	else
		do_other(p, verb);
}

static void next_command(struct parser *p, struct str *line)
{
	switch (in_line(&p->in, line, LINE_MAX_BYTES)) {
	case IN_OK:
		obey(p, str_view(line));
		break;
	case IN_TOO_LONG:
		refuse(p, "line too long");
		break;
	case IN_TIMEOUT:
		parser_log("closed: timeout", view_make(NULL, 0));
		reply(p, "-ERR timeout");
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
	struct parser *p = arg;

	if (out_flush(&p->out) == -1)
		p->over = true;
}

static void init(struct parser *p, int in, int out,
		 struct credentials *credentials)
{
	*p = (struct parser){ .credentials = credentials };
	in_init(&p->in, in, p->in_space, sizeof(p->in_space), LOG_IN_MS);
	out_init(&p->out, out, p->out_space, sizeof(p->out_space), LOG_IN_MS);
	p->in.deadline_ms = clock_mono_ms() + LOG_IN_MS;
	p->out.deadline_ms = p->in.deadline_ms;
	p->in.before_wait = flush_before_wait;
	p->in.before_wait_arg = p;
	p->read = p->in.read;
	p->in.read = read_line_part;
}

enum parser_result parser_run(int in, int out, const char *greeting,
			      struct credentials *credentials)
{
	struct parser p;
	struct str line = { 0 };
	bool complete;
	bool flushed;

	init(&p, in, out, credentials);
	out_put_c(&p.out, "+OK ");
	reply(&p, greeting);
	/* Never moved: a password in it is wiped where it lies. */
	str_reserve(&line, LINE_MAX_BYTES + 2);
	while (!p.over)
		next_command(&p, &line);
	/* Who was too slow is still told so. */
	p.out.deadline_ms = clock_mono_ms() + FAREWELL_MS;
	flushed = out_flush(&p.out) == 0;
	complete = p.complete && flushed;
	if (p.lingers && flushed)
		linger(p.in.fd, p.out.fd);
	str_wipe(&line);
	str_free(&p.user);
	explicit_bzero(p.in_space, sizeof(p.in_space));
	return complete ? PARSER_LOG_IN : PARSER_OVER;
}
