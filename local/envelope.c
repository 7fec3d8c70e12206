#include "local/envelope.h"

#include "lib/address.h"
#include "lib/date.h"

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
	environment_end(&envelope->environment);
	str_free(&envelope->dtline);
	str_free(&envelope->rpline);
	str_free(&envelope->ufline);
}

static void export(struct envelope *envelope, const char *name,
		   struct view value)
{
	struct str text = { 0 };

	if (!view_starts(value, VIEW("()"))) {
		environment_set(&envelope->environment, name, value);
		return;
	}
	str_append(&text, value);
	text.p[0] = '_';
	environment_set(&envelope->environment, name, str_view(&text));
	str_free(&text);
}

/* NAME, NAME2, NAME3, NAME4: what is left behind each further dash. */
static void export_ext(struct envelope *envelope, struct view ext)
{
	static const char *const names[] = { "EXT", "EXT2", "EXT3", "EXT4" };

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		export(envelope, names[i], ext);
		ext = view_from(ext, view_find(ext, '-') + 1);
	}
}

/* HOST, HOST2, HOST3, HOST4: what is left before each last dot. */
static void export_host(struct envelope *envelope, struct view host)
{
	static const char *const names[] = { "HOST", "HOST2", "HOST3",
					     "HOST4" };

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		export(envelope, names[i], host);
		host = view_first(host, view_find_last(host, '.'));
	}
}

void envelope_export(struct envelope *envelope, const struct job *job)
{
	struct str recipient = { 0 };

	environment_begin(&envelope->environment);
	append_recipient(&recipient, job);
	export(envelope, "SENDER", job->sender);
	export(envelope, "RECIPIENT", str_view(&recipient));
	export(envelope, "USER", job->user);
	export(envelope, "HOME", job->home);
	export(envelope, "LOCAL", job->local);
	export_host(envelope, job->domain);
	export_ext(envelope, job->ext);
	export(envelope, "DTLINE", str_view(&envelope->dtline));
	export(envelope, "RPLINE", str_view(&envelope->rpline));
	export(envelope, "UFLINE", str_view(&envelope->ufline));
	environment_unset(&envelope->environment, "DEFAULT");
	environment_unset(&envelope->environment, "NEWSENDER");
	str_free(&recipient);
}

void envelope_export_default(struct envelope *envelope,
			     struct view default_part)
{
	export(envelope, "DEFAULT", default_part);
}

void envelope_export_newsender(struct envelope *envelope, struct view newsender)
{
	export(envelope, "NEWSENDER", newsender);
}
