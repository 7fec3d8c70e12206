#include "local/envelope.h"

#include <stdlib.h>

#include "lib/address.h"
#include "lib/date.h"
#include "lib/die.h"

/* Replace the line feeds that must not end a line early. */
static void replace_lf(struct str *s)
{
	for (size_t i = 0; i < s->len; i++)
		if (s->p[i] == '\n')
			s->p[i] = '_';
}

static void append_recipient(struct str *to, const struct job *job)
{
	str_append(to, job->local);
	str_append_byte(to, '@');
	str_append(to, job->domain);
}

static void format_ufline(struct str *to, struct view sender, int64_t now_s)
{
	str_set(to, VIEW("From "));
	for (size_t i = 0; i < sender.len; i++) {
		char c = sender.p[i];

		if (c == ' ' || c == '\t' || c == '\n')
			c = '-';
		str_append_byte(to, c);
	}
	if (sender.len == 0)
		str_append(to, VIEW("MAILER-DAEMON"));
	str_append_byte(to, ' ');
	date_format_ctime(to, now_s);
	str_append_byte(to, '\n');
}

void envelope_format(struct envelope *envelope, const struct job *job,
		     int64_t now_s)
{
	str_set(&envelope->rpline, VIEW("Return-Path: <"));
	address_quote(&envelope->rpline, job->sender);
	str_append(&envelope->rpline, VIEW(">\n"));

	str_set(&envelope->dtline, VIEW("Delivered-To: "));
	append_recipient(&envelope->dtline, job);
	replace_lf(&envelope->dtline);
	str_append_byte(&envelope->dtline, '\n');

	format_ufline(&envelope->ufline, job->sender, now_s);
}

void envelope_free(struct envelope *envelope)
{
	str_free(&envelope->dtline);
	str_free(&envelope->rpline);
	str_free(&envelope->ufline);
}

static void export(const char *name, struct view value)
{
	struct str text = { 0 };

	str_append(&text, value);
	if (view_starts(value, VIEW("()")))
		text.p[0] = '_';
	if (setenv(name, str_c(&text), 1) == -1)
		die_errno(EXIT_RETRY, "cannot set %s", name);
	str_free(&text);
}

/* NAME, NAME2, NAME3, NAME4: what is left behind each further dash. */
static void export_ext(struct view ext)
{
	static const char *const names[] = { "EXT", "EXT2", "EXT3", "EXT4" };

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		export(names[i], ext);
		ext = view_from(ext, view_find(ext, '-') + 1);
	}
}

/* HOST, HOST2, HOST3, HOST4: what is left before each last dot. */
static void export_host(struct view host)
{
	static const char *const names[] = { "HOST", "HOST2", "HOST3",
					     "HOST4" };

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		export(names[i], host);
		host = view_first(host, view_find_last(host, '.'));
	}
}

void envelope_export(const struct envelope *envelope, const struct job *job)
{
	struct str recipient = { 0 };

	append_recipient(&recipient, job);
	export("SENDER", job->sender);
	export("RECIPIENT", str_view(&recipient));
	export("USER", job->user);
	export("HOME", job->home);
	export("LOCAL", job->local);
	export_host(job->domain);
	export_ext(job->ext);
	export("DTLINE", str_view(&envelope->dtline));
	export("RPLINE", str_view(&envelope->rpline));
	export("UFLINE", str_view(&envelope->ufline));
	unsetenv("DEFAULT");
	unsetenv("NEWSENDER");
	str_free(&recipient);
}

void envelope_export_default(struct view default_part)
{
	export("DEFAULT", default_part);
}

void envelope_export_newsender(struct view newsender)
{
	export("NEWSENDER", newsender);
}
