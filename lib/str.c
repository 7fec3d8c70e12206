#include "lib/str.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/die.h"
#include "lib/memory.h"

struct view view_of(const char *c)
{
	return view_make(c, c ? strlen(c) : 0);
}

bool view_eq(struct view a, struct view b)
{
	return a.len == b.len && (a.len == 0 || !memcmp(a.p, b.p, a.len));
}

bool view_eq_nocase(struct view a, struct view b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
			return false;
	return true;
}

bool view_starts(struct view v, struct view prefix)
{
	return v.len >= prefix.len &&
	       view_eq(view_first(v, prefix.len), prefix);
}

bool view_starts_nocase(struct view v, struct view prefix)
{
	return v.len >= prefix.len &&
	       view_eq_nocase(view_first(v, prefix.len), prefix);
}

bool view_ends(struct view v, struct view suffix)
{
	return v.len >= suffix.len &&
	       view_eq(view_from(v, v.len - suffix.len), suffix);
}

bool view_ends_nocase(struct view v, struct view suffix)
{
	return v.len >= suffix.len &&
	       view_eq_nocase(view_from(v, v.len - suffix.len), suffix);
}

size_t view_find(struct view v, char byte)
{
	const char *at = v.len ? memchr(v.p, byte, v.len) : NULL;

	return at ? (size_t)(at - v.p) : v.len;
}

size_t view_find_last(struct view v, char byte)
{
	const char *at = v.len ? memrchr(v.p, byte, v.len) : NULL;

	return at ? (size_t)(at - v.p) : v.len;
}

bool view_has(struct view v, char byte)
{
	return view_find(v, byte) != v.len;
}

struct view view_first(struct view v, size_t n)
{
	return view_make(v.p, n < v.len ? n : v.len);
}

struct view view_from(struct view v, size_t n)
{
	if (n > v.len)
		n = v.len;
	return view_make(n ? v.p + n : v.p, v.len - n);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct view view_trim_end(struct view v)
{
	while (v.len && is_blank(v.p[v.len - 1]))
		v.len--;
	return v;
}

struct view view_trim(struct view v)
{
	while (v.len && is_blank(v.p[0]))
		v = view_from(v, 1);
	return view_trim_end(v);
}

struct view view_cut(struct view *rest, char byte)
{
	size_t at = view_find(*rest, byte);
	struct view piece = view_first(*rest, at);

	if (at == rest->len)
		*rest = view_make(NULL, 0);
	else
		*rest = view_from(*rest, at + 1);
	return piece;
}

/* The value of a digit in any base up to 16, or 16. */
static unsigned digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	c = ascii_lower(c);
	if (c >= 'a' && c <= 'f')
		return (unsigned)(c - 'a' + 10);
	return 16;
}

static bool parse_number(struct view v, unsigned base, uint64_t *value)
{
	uint64_t n = 0;

	if (v.len == 0)
		return false;
	for (size_t i = 0; i < v.len; i++) {
		unsigned digit = digit_value(v.p[i]);

		if (digit >= base || __builtin_mul_overflow(n, base, &n) ||
		    __builtin_add_overflow(n, digit, &n))
			return false;
	}
	*value = n;
	return true;
}

bool view_u64(struct view v, uint64_t *value)
{
	return parse_number(v, 10, value);
}

bool view_hex64(struct view v, uint64_t *value)
{
	return parse_number(v, 16, value);
}

bool view_octal(struct view v, uint64_t *value)
{
	return parse_number(v, 8, value);
}

void str_free(struct str *s)
{
	free(s->p);
	*s = (struct str){ 0 };
}

void str_wipe(struct str *s)
{
	if (s->p)
		explicit_bzero(s->p, s->cap);
	str_free(s);
}

void str_reset(struct str *s)
{
	s->len = 0;
}

void str_reserve(struct str *s, size_t more)
{
	size_t want;
	size_t cap;

	/* One byte more than asked: str_c() may always write its NUL. */
	if (__builtin_add_overflow(s->len, more, &want) ||
	    __builtin_add_overflow(want, 1, &want))
		die(EXIT_RETRY, "out of memory");
	if (want <= s->cap)
		return;
	if (__builtin_add_overflow(want, want / 2 + 32, &cap))
		die(EXIT_RETRY, "out of memory");
	s->p = memory_resize(s->p, cap, 1);
	s->cap = cap;
}

void str_append(struct str *s, struct view v)
{
	str_reserve(s, v.len);
	if (v.len)
		memcpy(s->p + s->len, v.p, v.len);
	s->len += v.len;
}

void str_append_c(struct str *s, const char *c)
{
	str_append(s, view_of(c));
}

void str_append_byte(struct str *s, char byte)
{
	str_append(s, view_make(&byte, 1));
}

void str_append_printable(struct str *s, struct view v)
{
	for (size_t i = 0; i < v.len; i++)
		str_append_byte(s,
				v.p[i] >= ' ' && v.p[i] <= '~' ? v.p[i] : '?');
}

void str_append_u64(struct str *s, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + value % 10);
	while (value /= 10);
	str_append(s, view_make(digits + at, sizeof(digits) - at));
}

void str_append_hex64(struct str *s, uint64_t value)
{
	for (int shift = 60; shift >= 0; shift -= 4)
		str_append_byte(s, "0123456789abcdef"[value >> shift & 15]);
}

void str_appendf(struct str *s, const char *fmt, ...)
{
	va_list args;
	va_list again;
	int len;

	va_start(args, fmt);
	va_copy(again, args);
	len = vsnprintf(NULL, 0, fmt, args);
	assert(len >= 0);
	str_reserve(s, (size_t)len);
	vsnprintf(s->p + s->len, (size_t)len + 1, fmt, again);
	s->len += (size_t)len;
	va_end(again);
	va_end(args);
}

void str_set(struct str *s, struct view v)
{
	str_reset(s);
	str_append(s, v);
}

void str_set_c(struct str *s, const char *c)
{
	str_set(s, view_of(c));
}

void str_truncate(struct str *s, size_t len)
{
	assert(len <= s->len);
	s->len = len;
}

void str_remove(struct str *s, size_t from, size_t count)
{
	assert(from <= s->len && count <= s->len - from);
	if (count)
		memmove(s->p + from, s->p + from + count,
			s->len - from - count);
	s->len -= count;
}

void str_lower(struct str *s)
{
	for (size_t i = 0; i < s->len; i++)
		s->p[i] = ascii_lower(s->p[i]);
}

struct view str_view(const struct str *s)
{
	return view_make(s->p, s->len);
}

const char *str_c(struct str *s)
{
	str_reserve(s, 0);
	s->p[s->len] = '\0';
	return s->p;
}
