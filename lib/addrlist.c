#include "lib/addrlist.h"

enum kind {
	END,
	ATOM,
	QUOTED,
	LITERAL,
	SPECIAL, /* one of < > @ , ; : . */
	BAD,
};

struct token {
	enum kind kind;
	char special;
	size_t start;
	size_t end;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_control(char c)
{
	return ((unsigned char)c < ' ' && !is_blank(c)) || c == 127;
}

static bool is_special(char c)
{
	return c == '<' || c == '>' || c == '@' || c == ',' || c == ';' ||
	       c == ':' || c == '.';
}

static bool ends_atom(char c)
{
	return is_blank(c) || is_special(c) || c == '(' || c == ')' ||
	       c == '[' || c == ']' || c == '"';
}

/* Past a comment that begins at `at`; comments nest. False if unclosed. */
static bool skip_comment(struct view text, size_t *at)
{
	size_t depth = 0;

	for (; *at < text.len; ++*at) {
		char c = text.p[*at];

		if (c == '\\' && *at + 1 < text.len)
			++*at;
		else if (c == '(')
			depth++;
		else if (c == ')' && --depth == 0) {
			++*at;
			return true;
		}
	}
	return false;
}

static bool skip_blanks(struct view text, size_t *at)
{
	while (*at < text.len) {
		if (is_blank(text.p[*at]))
			++*at;
		else if (text.p[*at] != '(')
			return true;
		else if (!skip_comment(text, at))
			return false;
	}
	return true;
}

/* Past a quoted string or literal up to `last`. */
static bool skip_enclosed(struct view text, size_t *at, char last)
{
	for (++*at; *at < text.len; ++*at) {
		char c = text.p[*at];

		if (is_control(c))
			return false;
		if (c == last) {
			++*at;
			return true;
		}
		if (c == '\\' && *at + 1 < text.len) {
			++*at;
			if (is_control(text.p[*at]))
				return false;
		}
	}
	return false;
}

static bool skip_atom(struct view text, size_t *at)
{
	for (; *at < text.len && !ends_atom(text.p[*at]); ++*at) {
		if (text.p[*at] == '\\' && ++*at == text.len)
			return false;
		if (is_control(text.p[*at]) || text.p[*at] == '\r' ||
		    text.p[*at] == '\n')
			return false;
	}
	return true;
}

static struct token token_at(struct view text, size_t at)
{
	struct token t = { .kind = END };
	bool sound = skip_blanks(text, &at);
	char c;

	t.start = at;
	t.end = at;
	if (!sound)
		t.kind = BAD;
	if (!sound || at == text.len)
		return t;
	c = text.p[at];
	if (is_special(c)) {
		t.kind = SPECIAL;
		t.special = c;
		at++;
	} else if (c == '"') {
		t.kind = skip_enclosed(text, &at, '"') ? QUOTED : BAD;
	} else if (c == '[') {
		t.kind = skip_enclosed(text, &at, ']') ? LITERAL : BAD;
	} else if (c == ']' || c == ')') {
		t.kind = BAD;
	} else {
		t.kind = skip_atom(text, &at) ? ATOM : BAD;
	}
	t.end = at;
	return t;
}

static struct token peek(const struct addrlist *list)
{
	return token_at(list->text, list->at);
}

static bool is(struct token t, char special)
{
	return t.kind == SPECIAL && t.special == special;
}

static bool is_word(struct token t)
{
	return t.kind == ATOM || t.kind == QUOTED || t.kind == LITERAL;
}

/* Take the token if it is this special character. */
static bool take(struct addrlist *list, char special)
{
	struct token t = peek(list);

	if (!is(t, special))
		return false;
	list->at = t.end;
	return true;
}

/* Append what an atom or quoted string means, unfolded. */
static void append_meaning(struct str *to, struct view text, struct token t)
{
	size_t at = t.start + (t.kind == QUOTED);
	size_t end = t.end - (t.kind == QUOTED);

	for (; at < end; at++) {
		if (t.kind != LITERAL && text.p[at] == '\\' && at + 1 < end)
			at++;
		if (text.p[at] == '\t')
			str_append_byte(to, ' ');
		else if (text.p[at] != '\r' && text.p[at] != '\n')
			str_append_byte(to, text.p[at]);
	}
}

/*
 * Nothing that would need quotes, which domains do not have, and in a literal
 * nothing that would hide where the domain begins.
 */
static bool may_be_domain(struct view text, struct token t)
{
	struct view v = view_from(view_first(text, t.end), t.start);

	if (t.kind == QUOTED || view_has(v, '\\') || view_has(v, '@'))
		return false;
	if (t.kind == LITERAL)
		for (size_t i = 1; i < v.len; i++)
			if (is_blank(v.p[i]) || v.p[i] == '[')
				return false;
	return true;
}

/* word (. word)*, and dots where they do not belong. False if there is none. */
static bool take_dotted(struct addrlist *list, bool domain, struct str *to,
			size_t *end)
{
	bool after_word = false;
	bool any = false;

	for (;;) {
		struct token t = peek(list);
		bool dot = is(t, '.');

		if (!dot && (after_word || !is_word(t)))
			return any;
		if (domain ? !may_be_domain(list->text, t) : t.kind == LITERAL)
			return false;
		append_meaning(to, list->text, t);
		after_word = !dot;
		any = true;
		list->at = t.end;
		*end = t.end;
	}
}

static bool take_domain(struct addrlist *list, struct addrlist_item *item)
{
	str_append_byte(&item->address, '@');
	item->has_domain = true;
	return take_dotted(list, true, &item->address, &item->end);
}

/* `@a,@b:`, all of it behind the first @. */
static bool skip_route(struct addrlist *list)
{
	struct str ignored = { 0 };
	size_t end;
	bool sound;

	do {
		sound = take_dotted(list, true, &ignored, &end);
		while (sound && take(list, ','))
			/* Empty elements may stand in a route, too. */;
	} while (sound && take(list, '@'));
	str_free(&ignored);
	return sound && take(list, ':');
}

/* What stands between < and >, the < being taken. */
static bool take_angle(struct addrlist *list, struct addrlist_item *item)
{
	item->in_angle = true;
	item->start = peek(list).start;
	item->end = item->start;
	if (take(list, '@')) {
		item->routed = true;
		if (!skip_route(list))
			return false;
	}
	if (!item->routed && take(list, '>'))
		return true;
	if (!take_dotted(list, false, &item->address, &item->end))
		return false;
	if (take(list, '@') && !take_domain(list, item))
		return false;
	return take(list, '>');
}

/*
 * Where the words at list->at lead: to a name's `<` or a group's `:`, or to
 * neither. They are read once, however many addresses they turn out to be.
 */
static struct token end_of_words(struct addrlist *list)
{
	struct str ignored = { 0 };
	size_t start = list->at;
	struct token t = peek(list);
	size_t end;

	while (is_word(t) || is(t, '.')) {
		list->at = t.end;
		t = peek(list);
	}
	list->plain_until = list->at;
	/* `a@b <a@b>` */
	if (take(list, '@')) {
		if (take_dotted(list, true, &ignored, &end) &&
		    is(peek(list), '<'))
			t = peek(list);
		str_free(&ignored);
	}
	list->at = start;
	return t;
}

static void note_missing_comma(struct addrlist *list,
			       struct addrlist_item *item, size_t start)
{
	if (!list->need_comma)
		return;
	while (start > list->behind && is_blank(list->text.p[start - 1]))
		start--;
	item->comma_at = start;
}

/* One address that begins with a word. */
static bool take_plain(struct addrlist *list, struct addrlist_item *item)
{
	item->start = peek(list).start;
	if (!take_dotted(list, false, &item->address, &item->end))
		return false;
	return !take(list, '@') || take_domain(list, item);
}

/*
 * The element that begins with t, no separator. A group's name is no
 * address: then *item stays unused and *found false.
 */
static bool take_element(struct addrlist *list, struct token t,
			 struct addrlist_item *item, bool *found)
{
	struct token last = t;

	*found = true;
	if (list->at >= list->plain_until && !is(t, '<'))
		last = end_of_words(list);
	if (is(last, '<')) {
		list->at = last.end;
		return take_angle(list, item);
	}
	if (is(last, ':')) {
		*found = false;
		if (list->in_group)
			return false;
		list->in_group = true;
		list->at = last.end;
		return true;
	}
	return take_plain(list, item);
}

/* Past commas and ends of groups; the token behind them. */
static struct token skip_separators(struct addrlist *list)
{
	for (;;) {
		struct token t = peek(list);

		if (is(t, ';') && list->in_group)
			list->in_group = false;
		else if (!is(t, ','))
			return t;
		/* Between `;` and the next address belongs a comma, too. */
		list->need_comma = is(t, ';');
		list->at = t.end;
	}
}

enum addrlist_result addrlist_next(struct addrlist *list,
				   struct addrlist_item *item)
{
	bool found = false;

	item->comma_at = ADDRLIST_NOWHERE;
	while (!found) {
		struct token t = skip_separators(list);

		str_reset(&item->address);
		item->has_domain = false;
		item->routed = false;
		item->in_angle = false;
		if (t.kind == END)
			return ADDRLIST_END;
		if (!is_word(t) && !is(t, '<') && !is(t, '.'))
			return ADDRLIST_BAD;
		note_missing_comma(list, item, t.start);
		if (!take_element(list, t, item, &found))
			return ADDRLIST_BAD;
		list->need_comma = found;
		list->behind = list->at;
	}
	return ADDRLIST_ADDRESS;
}

bool addrlist_cut_off(const struct addrlist *list)
{
	return list->in_group;
}

void addrlist_item_free(struct addrlist_item *item)
{
	str_free(&item->address);
	*item = (struct addrlist_item){ 0 };
}
