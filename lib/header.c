#include "lib/header.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The length of the line at the start of v, its LF included. */
static size_t line_bytes(struct view v)
{
	size_t at = view_find(v, '\n');

	return at < v.len ? at + 1 : at;
}

/* Where the colon behind a field name stands, or line.len for no field. */
static size_t find_colon(struct view line, size_t *name_bytes)
{
	size_t at = 0;

	while (at < line.len && line.p[at] > ' ' && line.p[at] <= '~' &&
	       line.p[at] != ':')
		at++;
	*name_bytes = at;
	/* Blanks here are obsolete (RFC 5322 section 4.5), but legal to read. */
	while (at < line.len && is_blank(line.p[at]))
		at++;
	if (*name_bytes == 0 || at == line.len || line.p[at] != ':')
		return line.len;
	return at;
}

bool header_next(struct view *rest, struct header_field *field)
{
	size_t end = line_bytes(*rest);
	struct view line = view_first(*rest, end);
	size_t name_bytes;
	size_t colon = find_colon(line, &name_bytes);

	if (colon == line.len)
		return false;
	while (end < rest->len && is_blank(rest->p[end]))
		end += line_bytes(view_from(*rest, end));
	field->whole = view_first(*rest, end);
	field->name = view_first(line, name_bytes);
	field->value = view_from(field->whole, colon + 1);
	*rest = view_from(*rest, end);
	return true;
}

bool header_is(const struct header_field *field, struct view name)
{
	return view_eq_nocase(field->name, name);
}

void header_unfold(struct str *to, struct view value)
{
	size_t start = to->len;

	while (value.len) {
		size_t end = line_bytes(value);
		struct view line = view_first(value, end);

		value = view_from(value, end);
		if (view_ends(line, VIEW("\n"))) {
			line.len--;
			if (view_ends(line, VIEW("\r")))
				line.len--;
		}
		if (to->len == start)
			while (line.len && is_blank(line.p[0]))
				line = view_from(line, 1);
		str_append(to, line);
	}
	while (to->len > start && is_blank(to->p[to->len - 1]))
		str_truncate(to, to->len - 1);
}

struct view header_body(struct view message)
{
	struct header_field field;

	while (header_next(&message, &field))
		;
	if (view_starts(message, VIEW("\r\n")))
		return view_from(message, 2);
	if (view_starts(message, VIEW("\n")))
		return view_from(message, 1);
	return message;
}
