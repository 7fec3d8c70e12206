#ifndef LIB_STR_H
#define LIB_STR_H

/*
 * Bytes with a length.
 *
 * `struct view` borrows: a pointer and a length into memory that somebody
 * else owns. `struct str` owns: it grows as needed, may hold NULs, and
 * str_c() is always NUL-terminated. All-zero is a valid empty str.
 *
 *	struct str s = { 0 };
 *
 *	str_append(&s, VIEW("user-"));
 *	str_append(&s, ext);
 *	if (view_eq(str_view(&s), VIEW("user-list")))
 *		...
 *	str_free(&s);
 *
 * Out of memory does not return: the process dies with EXIT_RETRY. Limits
 * belong where bytes enter, so that this never is the peer's choice.
 * A view given to a str_ function may not point into that same str, except
 * for str_remove().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/banned.h"

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

struct view {
	const char *p;
	size_t len;
};

struct str {
	char *p;
	size_t len;
	size_t cap;
};

/* A view of a string literal. */
#define VIEW(literal) ((struct view){ "" literal, sizeof(literal) - 1 })

/* ---- views ---- */

static inline struct view view_make(const void *p, size_t len)
{
	return (struct view){ p, len };
}

/* c may be NULL: an empty view. */
struct view view_of(const char *c);

bool view_eq(struct view a, struct view b);
/* ASCII letters compare without case, other bytes exactly. */
bool view_eq_nocase(struct view a, struct view b);
bool view_starts(struct view v, struct view prefix);
bool view_starts_nocase(struct view v, struct view prefix);
bool view_ends(struct view v, struct view suffix);
bool view_ends_nocase(struct view v, struct view suffix);

/* Offset of the first or last `byte`, or v.len if there is none. */
size_t view_find(struct view v, char byte);
size_t view_find_last(struct view v, char byte);
bool view_has(struct view v, char byte);

/* The first n bytes, and what follows them; n past the end is the end. */
struct view view_first(struct view v, size_t n);
struct view view_from(struct view v, size_t n);
/* Without blanks and tabs at both ends, or at the end. */
struct view view_trim(struct view v);
struct view view_trim_end(struct view v);

/*
 * Cut *rest at the first `byte`: returns what precedes it and moves *rest
 * behind it. Without one, returns everything and leaves *rest empty with
 * p == NULL, so that `while (rest.p)` visits an empty last piece too.
 */
struct view view_cut(struct view *rest, char byte);

/* Decimal digits only, the whole view, no overflow; false otherwise. */
bool view_u64(struct view v, uint64_t *value) MUST_USE;
/* The same in hexadecimal digits of either case. */
bool view_hex64(struct view v, uint64_t *value) MUST_USE;
/* Octal digits. */
bool view_octal(struct view v, uint64_t *value) MUST_USE;

/* ---- owned strings ---- */

void str_free(struct str *s);  /* gives the memory back, leaves zeroes */
void str_wipe(struct str *s);  /* the same, for passwords: cleared first */
void str_reset(struct str *s); /* empty, keeps the memory */
void str_reserve(struct str *s, size_t more);
void str_append(struct str *s, struct view v);
void str_append_c(struct str *s, const char *c);
void str_append_byte(struct str *s, char byte);
/* With `?` for each byte that is not printable ASCII: one line, in any case. */
void str_append_printable(struct str *s, struct view v);
void str_append_u64(struct str *s, uint64_t value);
void str_append_hex64(struct str *s, uint64_t value); /* 16 digits */
void str_appendf(struct str *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
void str_set(struct str *s, struct view v);
void str_set_c(struct str *s, const char *c);
void str_truncate(struct str *s, size_t len); /* len <= s->len */
void str_remove(struct str *s, size_t from, size_t count);
void str_lower(struct str *s); /* ASCII only */

struct view str_view(const struct str *s);
/* NUL-terminated; valid until the next change. May hold NULs before its end. */
const char *str_c(struct str *s);

static inline char ascii_lower(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	return c;
}

#endif
