#include "local/dotqmail.h"

void dotqmail_init(struct dotqmail *dq, struct view content)
{
	*dq = (struct dotqmail){ .rest = content };
	if (!dq->rest.p)
		dq->rest.p = "";
}

/* What the line is, by its first byte; the text without its mark. */
static enum dotqmail_kind classify(struct view *text)
{
	if (text->len == 0)
		return DOTQMAIL_BLANK;
	switch (text->p[0]) {
	case '#':
		return DOTQMAIL_COMMENT;
	case '.':
	case '/':
		return view_ends(*text, VIEW("/")) ? DOTQMAIL_MAILDIR
						   : DOTQMAIL_MBOX;
	case '|':
		*text = view_from(*text, 1);
		return DOTQMAIL_PROGRAM;
	case '+':
		*text = view_from(*text, 1);
		return view_eq(*text, VIEW("list")) ? DOTQMAIL_LIST
						    : DOTQMAIL_UNKNOWN;
	case '&':
		*text = view_from(*text, 1);
		return DOTQMAIL_FORWARD;
	default:
		return DOTQMAIL_FORWARD;
	}
}

bool dotqmail_next(struct dotqmail *dq, struct dotqmail_line *line)
{
	struct view text;

	if (!dq->rest.p || (dq->number && dq->rest.len == 0))
		return false;
	text = view_cut(&dq->rest, '\n');
	/* Programs and paths end at a NUL, so a line does, too. */
	text = view_trim_end(view_first(text, view_find(text, '\0')));
	line->number = ++dq->number;
	line->kind = classify(&text);
	line->text = text;
	return true;
}

/* Whether a `default` may stand behind the first i bytes of ext. */
static bool is_cut(struct view ext, size_t i)
{
	return i == 0 || ext.p[i - 1] == '-';
}

static void append_safe(struct str *name, struct view ext)
{
	for (size_t i = 0; i < ext.len; i++) {
		char c = ascii_lower(ext.p[i]);

		str_append_byte(name, (char)(c == '.' ? ':' : c));
	}
}

/*
 * state 0 is the exact name; state n stands for the first ext.len + 1 - n
 * bytes of ext and `default`.
 */
bool dotqmail_name(struct view dash, struct view ext, size_t *state,
		   struct str *name, size_t *matched)
{
	size_t n = *state;

	while (n > 0 && n <= ext.len + 1 && !is_cut(ext, ext.len + 1 - n))
		n++;
	if (n > ext.len + 1)
		return false;
	*state = n + 1;
	str_set(name, VIEW(".qmail"));
	str_append(name, dash);
	*matched = SIZE_MAX;
	if (n == 0) {
		append_safe(name, ext);
		if (view_ends_nocase(ext, VIEW("default")))
			*matched = ext.len - 7;
		return true;
	}
	*matched = ext.len + 1 - n;
	append_safe(name, view_first(ext, *matched));
	str_append(name, VIEW("default"));
	return true;
}
