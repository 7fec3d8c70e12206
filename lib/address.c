#include "lib/address.h"

#include <arpa/inet.h>

static bool is_control(char c)
{
	return (unsigned char)c < 32 || c == 127;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_8bit(char c)
{
	return (unsigned char)c >= 128;
}

/* RFC 5322 atext, which need not be quoted. */
static bool is_atext(char c)
{
	return is_8bit(c) || (c >= '0' && c <= '9') ||
	       (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') ||
	       (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

/* Blanks may stand between the parts, other control bytes nowhere. */
static bool has_control(struct view text)
{
	for (size_t i = 0; i < text.len; i++)
		if (is_control(text.p[i]) && text.p[i] != '\t')
			return true;
	return false;
}

/* Behind `@a,@b:`; no colon is a syntax error. */
static bool skip_route(struct view *text)
{
	bool literal = false;

	for (size_t i = 0; i < text->len; i++) {
		char c = text->p[i];

		if (c == '[')
			literal = true;
		else if (c == ']')
			literal = false;
		else if (c == ':' && !literal) {
			*text = view_from(*text, i + 1);
			return true;
		} else if (is_blank(c) || c == '<' || c == '>' || c == '"' ||
			   c == '\\')
			return false;
	}
	return false;
}

/* What can stand in the domain of an address: a name or a literal. */
static bool is_domain(struct view domain)
{
	bool literal;

	if (domain.len == 0)
		return false;
	literal = view_starts(domain, VIEW("["));
	if (literal) {
		if (domain.len < 3 || !view_ends(domain, VIEW("]")))
			return false;
		domain = view_first(view_from(domain, 1), domain.len - 2);
	}
	for (size_t i = 0; i < domain.len; i++)
		if (is_blank(domain.p[i]) || is_control(domain.p[i]) ||
		    strchr("()<>,;\"\\[]", domain.p[i]) ||
		    (domain.p[i] == ':' && !literal))
			return false;
	return true;
}

/* Where unquoting stands. */
struct unquote {
	struct str *to;
	bool quoted;    /* between quotation marks */
	bool escaped;   /* behind a backslash */
	bool at_seen;   /* an @ outside quotation marks */
	bool at_quoted; /* something quoted behind the last such @ */
	bool any;       /* some quotation, perhaps an empty one */
};

/* Take one byte; false when it may not stand here. */
static bool unquote_byte(struct unquote *u, char c)
{
	if (c == '\t' || (!u->escaped && !u->quoted && (c == ' ' || c == '<')))
		return false;
	if (!u->escaped && (c == '\\' || c == '"')) {
		u->any = u->at_quoted = true;
		if (c == '\\')
			u->escaped = true;
		else
			u->quoted = !u->quoted;
		return true;
	}
	if (c == '@' && !u->escaped && !u->quoted) {
		/* `<@a>` is half a route; `<""@a>` is meant. */
		if (u->to->len == 0 && !u->any)
			return false;
		u->at_seen = true;
		u->at_quoted = false;
	}
	u->escaped = false;
	str_append_byte(u->to, c);
	return true;
}

/* Could this, unquoted, be taken apart again as it was meant? */
static enum address_result unquote_check(const struct unquote *u)
{
	struct view address = str_view(u->to);

	if (u->quoted || u->escaped)
		return ADDRESS_BAD;
	if (!u->at_seen)
		return view_has(address, '@') || (u->any && address.len == 0)
			       ? ADDRESS_BAD
			       : ADDRESS_OK;
	if (u->at_quoted || !is_domain(address_domain(address)))
		return ADDRESS_BAD;
	return ADDRESS_OK;
}

/* Unquote text up to `end` outside quotation; *text moves to it. */
static enum address_result unquote(struct view *text, char end,
				   struct str *address)
{
	struct unquote u = { .to = address };
	size_t i;

	for (i = 0; i < text->len; i++) {
		char c = text->p[i];

		if (!u.quoted && !u.escaped) {
			if (c == end || (end == ' ' && c == '\t'))
				break;
			if (c == '>')
				return ADDRESS_BAD;
		}
		if (!unquote_byte(&u, c))
			return ADDRESS_BAD;
		if (address->len > ADDRESS_MAX_BYTES)
			return ADDRESS_TOO_LONG;
	}
	*text = view_from(*text, i);
	return unquote_check(&u);
}

static enum address_result
parse_bracketed(struct view text, struct str *address, struct view *rest)
{
	enum address_result result;
	bool route;

	text = view_from(text, 1);
	route = text.len && text.p[0] == '@';
	if (route && !skip_route(&text))
		return ADDRESS_BAD;
	result = unquote(&text, '>', address);
	if (result != ADDRESS_OK)
		return result;
	if (text.len == 0 || (route && address->len == 0))
		return ADDRESS_BAD;
	*rest = view_from(text, 1);
	return ADDRESS_OK;
}

static enum address_result parse_bare(struct view text, struct str *address,
				      struct view *rest)
{
	enum address_result result;

	if (text.len && text.p[0] == '@' && !skip_route(&text))
		return ADDRESS_BAD;
	result = unquote(&text, ' ', address);
	if (result == ADDRESS_OK && address->len == 0)
		return ADDRESS_BAD; /* only <> is the null sender */
	*rest = text;
	return result;
}

enum address_result address_parse_path(struct view text, bool lenient,
				       struct str *address, struct view *rest)
{
	enum address_result result = ADDRESS_BAD;

	str_reset(address);
	*rest = view_make(NULL, 0);
	if (has_control(text))
		return ADDRESS_BAD;
	while (text.len && is_blank(text.p[0]))
		text = view_from(text, 1);
	if (text.len && text.p[0] == '<')
		result = parse_bracketed(text, address, rest);
	else if (lenient)
		result = parse_bare(text, address, rest);
	if (result != ADDRESS_OK) {
		str_reset(address);
		*rest = view_make(NULL, 0);
	}
	return result;
}

/* Atoms with single dots between them? */
static bool is_dot_atom(struct view local)
{
	bool dot = true;

	for (size_t i = 0; i < local.len; i++) {
		if (local.p[i] == '.' && dot)
			return false;
		dot = local.p[i] == '.';
		if (!dot && !is_atext(local.p[i]))
			return false;
	}
	return !dot;
}

/* No grammar has room for control bytes; a line end would start a line. */
static void append_shown(struct str *to, char c)
{
	if (is_control(c))
		c = '?';
	str_append_byte(to, c);
}

void address_quote(struct str *to, struct view address)
{
	struct view local = address_local(address);
	bool quotes;

	if (address.len == 0)
		return;
	quotes = !is_dot_atom(local);
	if (quotes)
		str_append_byte(to, '"');
	for (size_t i = 0; i < local.len; i++) {
		if (local.p[i] == '"' || local.p[i] == '\\')
			str_append_byte(to, '\\');
		append_shown(to, local.p[i]);
	}
	if (quotes)
		str_append_byte(to, '"');
	for (size_t i = local.len; i < address.len; i++)
		append_shown(to, address.p[i]);
}

struct view address_local(struct view address)
{
	return view_first(address, view_find_last(address, '@'));
}

struct view address_domain(struct view address)
{
	size_t at = view_find_last(address, '@');

	if (at == address.len)
		return view_make(NULL, 0);
	return view_from(address, at + 1);
}

bool address_eq(struct view a, struct view b)
{
	/* Equal lengths and locals: then both have an @ there or none. */
	return a.len == b.len && view_eq(address_local(a), address_local(b)) &&
	       view_eq_nocase(address_domain(a), address_domain(b));
}

bool address_is_ascii(struct view address)
{
	for (size_t i = 0; i < address.len; i++)
		if (is_8bit(address.p[i]))
			return false;
	return true;
}

/* How many bytes follow this first one; the least that they may encode. */
static int utf8_more(unsigned char first, uint32_t *code, uint32_t *least)
{
	static const struct {
		unsigned char mask;
		unsigned char mark;
		int more;
		uint32_t least;
	} forms[] = {
		{ 0x80, 0x00, 0, 0 },
		{ 0xe0, 0xc0, 1, 0x80 },
		{ 0xf0, 0xe0, 2, 0x800 },
		{ 0xf8, 0xf0, 3, 0x10000 },
	};

	for (size_t i = 0; i < COUNT_OF(forms); i++) {
		if ((first & forms[i].mask) != forms[i].mark)
			continue;
		*code = first & (unsigned char)~forms[i].mask;
		*least = forms[i].least;
		return forms[i].more;
	}
	return -1;
}

bool utf8_valid(struct view v)
{
	size_t i = 0;

	while (i < v.len) {
		uint32_t code;
		uint32_t least;
		int more = utf8_more((unsigned char)v.p[i++], &code, &least);

		if (more == -1 || v.len - i < (size_t)more)
			return false;
		for (; more; more--, i++) {
			unsigned char next = (unsigned char)v.p[i];

			if ((next & 0xc0) != 0x80)
				return false;
			code = code << 6 | (next & 0x3f);
		}
		if (code < least || code > 0x10ffff ||
		    (code >= 0xd800 && code <= 0xdfff))
			return false;
	}
	return true;
}

bool address_is_literal(struct view domain)
{
	char text[INET6_ADDRSTRLEN + 1];
	unsigned char bytes[16];
	int family = AF_INET;

	if (!view_starts(domain, VIEW("[")) || !view_ends(domain, VIEW("]")) ||
	    domain.len < 2)
		return false;
	domain = view_first(view_from(domain, 1), domain.len - 2);
	if (view_starts_nocase(domain, VIEW("IPv6:"))) {
		family = AF_INET6;
		domain = view_from(domain, 5);
	}
	if (domain.len >= sizeof(text) || view_has(domain, '\0'))
		return false;
	if (domain.len)
		memcpy(text, domain.p, domain.len);
	text[domain.len] = '\0';
	return inet_pton(family, text, bytes) == 1;
}
