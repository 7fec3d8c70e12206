#include "tools/ucspi/refusal.h"

#include <signal.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/die.h"
#include "lib/in.h"
#include "lib/inherit.h"
#include "lib/linger.h"
#include "lib/out.h"
#include "lib/sandbox.h"
#include "tools/ucspi/blockask.h"

#define COMMAND_MAX_BYTES 4096
#define FLUSH_MS 10000 /* where there is no session */

static const struct sandbox sandbox = {
	.name = "rblsmtpd",
	.calls = SANDBOX_IO,
	.max_fds = 16,
	.quiet = true,
};

struct session {
	const struct refusal *refusal;
	struct str text; /* printable, one line */
	bool is_enhanced;
	bool quit;
	struct in in;
	struct out out;
};

/* ---- text and log ---- */

static const char *code_of(const struct refusal *refusal)
{
	return refusal->is_final ? "553 " : "451 ";
}

static void log_it(const struct session *s)
{
	struct str line = { 0 };

	str_append_c(&line, "rblsmtpd: ");
	str_append_printable(&line, view_first(s->refusal->ip, 64));
	str_appendf(&line, " pid %d: %s", (int)getpid(), code_of(s->refusal));
	str_append(&line, str_view(&s->text));
	str_append_byte(&line, '\n');
	if (write_all(STDERR_FILENO, str_view(&line)) == -1) {
		/* There is nowhere to say it. */
	}
	str_free(&line);
}

/* ---- replies ---- */

static void refuse(struct session *s)
{
	out_put_c(&s->out, code_of(s->refusal));
	if (s->is_enhanced)
		out_put_c(&s->out, s->refusal->is_final ? "5.7.1 " : "4.7.1 ");
	out_put(&s->out, str_view(&s->text));
	out_put(&s->out, VIEW("\r\n"));
}

/* `code`, and where the client knows it, the enhanced one. */
static void reply(struct session *s, const char *code, const char *enhanced)
{
	out_put_c(&s->out, code);
	if (s->is_enhanced)
		out_put_c(&s->out, enhanced);
	out_put(&s->out, VIEW("rblsmtpd.local\r\n"));
}

static void do_helo(struct session *s)
{
	s->is_enhanced = false;
	reply(s, "250 ", "");
}

/* RFC 2034: the codes must have been announced. */
static void do_ehlo(struct session *s)
{
	s->is_enhanced = true;
	out_put(&s->out, VIEW("250-rblsmtpd.local\r\n"
			      "250 ENHANCEDSTATUSCODES\r\n"));
}

static void do_mail(struct session *s)
{
	reply(s, "250 ", "2.1.0 ");
}

static void do_nothing(struct session *s)
{
	reply(s, "250 ", "2.0.0 ");
}

static void do_quit(struct session *s)
{
	reply(s, "221 ", "2.0.0 ");
	s->quit = true;
}

static const struct {
	const char *verb;
	void (*function)(struct session *);
} commands[] = {
	{ "helo", do_helo },    { "ehlo", do_ehlo },    { "mail", do_mail },
	{ "rset", do_nothing }, { "noop", do_nothing }, { "quit", do_quit },
};

/* Whatever is not known here is refused like a recipient. */
static void obey(struct session *s, struct view line)
{
	struct view verb = view_cut(&line, ' ');

	for (size_t i = 0; i < COUNT_OF(commands); i++)
		if (view_eq_nocase(verb, view_of(commands[i].verb))) {
			commands[i].function(s);
			return;
		}
	refuse(s);
}

/* ---- the session ---- */

static void flush_before_wait(void *arg)
{
	struct session *s = arg;

	/* A failure sticks: the session looks at it. */
	if (out_flush(&s->out) == -1)
		s->quit = true;
}

static void converse(struct session *s)
{
	struct str line = { 0 };

	out_put(&s->out, VIEW("220 rblsmtpd.local\r\n"));
	while (!s->quit) {
		enum in_result result =
			in_line(&s->in, &line, COMMAND_MAX_BYTES);

		if (result == IN_TOO_LONG)
			refuse(s);
		else if (result == IN_OK)
			obey(s, str_view(&line));
		else
			break;
	}
	str_free(&line);
}

static void confine(void)
{
	signal(SIGPIPE, SIG_IGN);
	if (close_range(3, ~0U, 0) == -1 || sandbox_enter(&sandbox) == -1)
		die_errno(EXIT_RETRY, "cannot enter the sandbox");
}

noreturn void refusal_serve(const struct refusal *refusal)
{
	struct session s = { .refusal = refusal };
	int64_t end_ms = clock_mono_ms() + (int64_t)refusal->timeout_s * 1000;
	char in_space[1024];
	char out_space[1024];

	str_append_printable(&s.text,
			     view_first(refusal->text, REFUSAL_TEXT_MAX));
	log_it(&s);
	confine();
	inherit_nodelay(STDOUT_FILENO);
	out_init(&s.out, STDOUT_FILENO, out_space, sizeof(out_space), FLUSH_MS);
	in_init(&s.in, STDIN_FILENO, in_space, sizeof(in_space), -1);
	if (refusal->timeout_s) {
		s.in.deadline_ms = s.out.deadline_ms = end_ms;
		s.in.before_wait = flush_before_wait;
		s.in.before_wait_arg = &s;
		converse(&s);
	} else {
		refuse(&s);
	}
	if (out_flush(&s.out) == 0 && refusal->timeout_s == 0)
		linger(STDIN_FILENO, STDOUT_FILENO);
	str_free(&s.text);
	_exit(EXIT_DONE);
}
