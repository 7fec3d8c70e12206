#include "tools/inject/compose.h"

#include <time.h>

#include "lib/address.h"
#include "lib/addrlist.h"
#include "lib/date.h"
#include "lib/header.h"

/* Lines get a new fold once they are this long; 998 is SMTP's limit. */
#define FOLD_BYTES 900

enum field {
	FIELD_OTHER,
	FIELD_FROM,
	FIELD_TO,
	FIELD_CC,
	FIELD_DATE,
	FIELD_MESSAGE_ID,
	FIELD_RETURN_PATH,
	FIELD_RESENT_FROM,
	FIELD_RESENT_TO,
	FIELD_RESENT_CC,
	FIELD_RESENT_DATE,
	FIELD_RESENT_MESSAGE_ID,
};

enum {
	LIST = 1, /* of addresses */
	RECIPIENTS = 2,
	RESENT = 4,
	DROP = 8,
};

static const struct rule {
	const char *name;
	enum field field;
	unsigned flags;
} rules[] = {
	{ "Sender", FIELD_OTHER, LIST },
	{ "From", FIELD_FROM, LIST },
	{ "Reply-To", FIELD_OTHER, LIST },
	{ "Return-Path", FIELD_RETURN_PATH, LIST | DROP },
	{ "Return-Receipt-To", FIELD_OTHER, LIST },
	{ "Errors-To", FIELD_OTHER, LIST },
	{ "To", FIELD_TO, LIST | RECIPIENTS },
	{ "Cc", FIELD_CC, LIST | RECIPIENTS },
	{ "Bcc", FIELD_OTHER, LIST | RECIPIENTS | DROP },
	{ "Apparently-To", FIELD_OTHER, LIST | RECIPIENTS },
	{ "Date", FIELD_DATE, 0 },
	{ "Message-ID", FIELD_MESSAGE_ID, 0 },
	{ "Content-Length", FIELD_OTHER, DROP },
	{ "Resent-Sender", FIELD_OTHER, LIST | RESENT },
	{ "Resent-From", FIELD_RESENT_FROM, LIST | RESENT },
	{ "Resent-Reply-To", FIELD_OTHER, LIST | RESENT },
	{ "Resent-To", FIELD_RESENT_TO, LIST | RECIPIENTS | RESENT },
	{ "Resent-Cc", FIELD_RESENT_CC, LIST | RECIPIENTS | RESENT },
	{ "Resent-Bcc", FIELD_OTHER, LIST | RECIPIENTS | RESENT | DROP },
	{ "Resent-Date", FIELD_RESENT_DATE, RESENT },
	{ "Resent-Message-ID", FIELD_RESENT_MESSAGE_ID, RESENT },
};

static bool seen(const struct compose *c, enum field field)
{
	return c->seen & 1U << field;
}

static size_t line_length(const struct str *s)
{
	struct view v = str_view(s);
	size_t last = view_find_last(v, '\n');

	return last == v.len ? v.len : v.len - last - 1;
}

/*
 * Copy what stands between two addresses, with a fold in it when the line
 * has become long. A blank may be folded wherever it stands.
 */
static void copy_gap(struct str *to, struct view gap, size_t *line)
{
	if (*line > FOLD_BYTES && !view_has(gap, '\n')) {
		size_t blank = 0;

		while (blank < gap.len && gap.p[blank] != ' ' &&
		       gap.p[blank] != '\t')
			blank++;
		if (blank < gap.len) {
			str_append(to, view_first(gap, blank));
			str_append_byte(to, '\n');
			gap = view_from(gap, blank);
			*line = 0;
		} else if (view_starts(gap, VIEW(","))) {
			str_append_c(to, ",\n\t");
			gap = view_from(gap, 1);
			*line = 0;
		}
	}
	str_append(to, gap);
	*line = view_has(gap, '\n') ? line_length(to) : *line + gap.len;
}

/* The address of item, completed; as it stands when nothing changes. */
static void put_address(const struct compose *c, struct view value,
			struct addrlist_item *item, struct str *to,
			size_t *line)
{
	size_t before = item->address.len;
	size_t start = to->len;

	config_complete(c->config, &item->address, item->has_domain);
	if (!item->routed && item->address.len == before)
		str_append(to, view_from(view_first(value, item->end),
					 item->start));
	else
		address_quote(to, str_view(&item->address));
	*line += to->len - start;
}

/*
 * Append value to *to with complete addresses and all its commas, and each
 * address to *addresses.
 */
static bool put_list(const struct compose *c, struct view value, struct str *to,
		     struct str *addresses)
{
	struct addrlist list = { .text = value };
	struct addrlist_item item = { 0 };
	enum addrlist_result result;
	size_t line = line_length(to);
	size_t at = 0;

	while ((result = addrlist_next(&list, &item)) == ADDRLIST_ADDRESS) {
		struct view gap = view_first(value, item.start);

		if (item.comma_at != ADDRLIST_NOWHERE) {
			copy_gap(
				to,
				view_from(view_first(value, item.comma_at), at),
				&line);
			str_append_byte(to, ',');
			at = item.comma_at;
		}
		copy_gap(to, view_from(gap, at), &line);
		put_address(c, value, &item, to, &line);
		at = item.end;
		if (item.address.len) {
			str_append(addresses, str_view(&item.address));
			str_append_byte(addresses, '\0');
		}
	}
	str_append(to, view_trim_end(view_from(value, at)));
	while (to->len &&
	       (to->p[to->len - 1] == '\n' || to->p[to->len - 1] == '\r'))
		str_truncate(to, to->len - 1);
	if (addrlist_cut_off(&list))
		str_append_byte(to, ';');
	str_append_byte(to, '\n');
	addrlist_item_free(&item);
	return result == ADDRLIST_END;
}

static const struct rule *find_rule(const struct header_field *field)
{
	for (size_t i = 0; i < COUNT_OF(rules); i++)
		if (header_is(field, view_of(rules[i].name)))
			return &rules[i];
	return NULL;
}

/* The first address of Return-Path is the sender; none is the null sender. */
static void take_return_path(struct compose *c, const struct str *addresses)
{
	struct view rest = str_view(addresses);

	if (c->config->ignore_return_path)
		return;
	str_set(&c->return_path, view_cut(&rest, '\0'));
	c->has_return_path = true;
}

static bool take_list(struct compose *c, const struct header_field *field,
		      const struct rule *rule)
{
	struct str addresses = { 0 };
	size_t start = c->fields.len;
	bool sound;

	str_append(&c->fields, view_first(field->whole,
					  field->whole.len - field->value.len));
	sound = put_list(c, field->value, &c->fields, &addresses);
	if (rule->flags & DROP)
		str_truncate(&c->fields, start);
	if (rule->field == FIELD_RETURN_PATH)
		take_return_path(c, &addresses);
	else if (rule->flags & RECIPIENTS)
		str_append(rule->flags & RESENT ? &c->resent_recipients
						: &c->recipients,
			   str_view(&addresses));
	str_free(&addresses);
	return sound;
}

static bool is_deleted(const struct compose *c, enum field field)
{
	return (field == FIELD_FROM && c->config->delete_from) ||
	       (field == FIELD_MESSAGE_ID && c->config->delete_message_id);
}

static bool take_field(struct compose *c, const struct header_field *field)
{
	const struct rule *rule = find_rule(field);

	if (!rule) {
		str_append(&c->fields, field->whole);
		return true;
	}
	if (is_deleted(c, rule->field))
		return true;
	c->seen |= 1U << rule->field;
	c->resent = c->resent || rule->flags & RESENT;
	if (rule->flags & LIST)
		return take_list(c, field, rule);
	if (!(rule->flags & DROP))
		str_append(&c->fields, field->whole);
	return true;
}

bool compose_header(struct compose *c, struct view header)
{
	struct header_field field;

	while (header_next(&header, &field))
		if (!take_field(c, &field)) {
			c->bad = field.whole;
			return false;
		}
	return true;
}

static bool is_atom_byte(char b)
{
	return (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') ||
	       (b >= '0' && b <= '9') || b == ' ' ||
	       (b && strchr("!#$%&'*+-/=?^_`{|}~", b));
}

static bool is_phrase(struct view v)
{
	for (size_t i = 0; i < v.len; i++)
		if (!is_atom_byte(v.p[i]))
			return false;
	return true;
}

/* A personal name between two marks, with escapes, on one line. */
static void put_name(struct str *to, struct view name, const char *special)
{
	for (size_t i = 0; i < name.len; i++) {
		char b = name.p[i];

		if ((unsigned char)b < ' ' || b == 127)
			b = ' ';
		if (strchr(special, b))
			str_append_byte(to, '\\');
		str_append_byte(to, b);
	}
}

static void put_from(const struct compose *c, struct str *to)
{
	struct view name = view_trim(c->config->name);
	struct str address = { 0 };

	config_from(c->config, &address);
	if (name.len == 0) {
		address_quote(to, str_view(&address));
	} else if (c->config->comment_style) {
		address_quote(to, str_view(&address));
		str_append_c(to, " (");
		put_name(to, name, "()\\");
		str_append_byte(to, ')');
	} else {
		bool plain = is_phrase(name);

		str_append_c(to, plain ? "" : "\"");
		put_name(to, name, "\"\\");
		str_append_c(to, plain ? " <" : "\" <");
		address_quote(to, str_view(&address));
		str_append_byte(to, '>');
	}
	str_append_byte(to, '\n');
	str_free(&address);
}

static void put_message_id(const struct compose *c, struct str *to,
			   int64_t now_s, long pid)
{
	time_t now = (time_t)now_s;
	struct tm tm = { 0 };

	gmtime_r(&now, &tm);
	str_appendf(to, "<%04d%02d%02d%02d%02d%02d.%ld.qmail@",
		    tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
		    tm.tm_min, tm.tm_sec, pid);
	str_append(to, str_view(&c->config->id_host));
	str_append_c(to, ">\n");
}

/* What is missing, under its own name or that of a resent message. */
static void put_missing(const struct compose *c, int64_t now_s, long pid,
			struct str *to)
{
	const char *prefix = c->resent ? "Resent-" : "";

	if (!seen(c, c->resent ? FIELD_RESENT_DATE : FIELD_DATE)) {
		str_appendf(to, "%sDate: ", prefix);
		date_format(to, now_s);
		str_append_byte(to, '\n');
	}
	if (!seen(c, c->resent ? FIELD_RESENT_MESSAGE_ID : FIELD_MESSAGE_ID)) {
		str_appendf(to, "%sMessage-ID: ", prefix);
		put_message_id(c, to, now_s, pid);
	}
	if (!seen(c, c->resent ? FIELD_RESENT_FROM : FIELD_FROM)) {
		str_appendf(to, "%sFrom: ", prefix);
		put_from(c, to);
	}
	if (!seen(c, c->resent ? FIELD_RESENT_TO : FIELD_TO) &&
	    !seen(c, c->resent ? FIELD_RESENT_CC : FIELD_CC))
		str_appendf(to, "%sCc: recipient list not shown: ;\n", prefix);
}

void compose_finish(struct compose *c, int64_t now_s, long pid,
		    struct str *header)
{
	put_missing(c, now_s, pid, header);
	str_append(header, str_view(&c->fields));
}

const struct str *compose_recipients(const struct compose *c)
{
	return c->resent ? &c->resent_recipients : &c->recipients;
}

void compose_free(struct compose *c)
{
	str_free(&c->fields);
	str_free(&c->recipients);
	str_free(&c->resent_recipients);
	str_free(&c->return_path);
	*c = (struct compose){ 0 };
}
