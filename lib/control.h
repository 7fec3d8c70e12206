#ifndef LIB_CONTROL_H
#define LIB_CONTROL_H

/*
 * The files in control/, as qmail-control(5) describes them.
 *
 * A file holds one value (its first line) or a list (a value a line).
 * Trailing spaces and tabs are cut; in lists, empty lines and lines that
 * begin with # are skipped. A file that is there but cannot be read, is
 * longer than CONTROL_MAX_BYTES, holds a NUL, or a number that is none, is an
 * ERROR: a temporary failure for whoever asked, never a silent default.
 *
 * homefd is lib/home.h's descriptor; names are relative to control/.
 * On CONTROL_ERROR, errno says why (EFBIG too long, EINVAL no number or a NUL);
 * on anything but OK the output is empty or unchanged as stated.
 */

#include <stdint.h>

#include "lib/str.h"

#define CONTROL_MAX_BYTES 16777216

enum control_result {
	CONTROL_OK,
	CONTROL_ABSENT,
	CONTROL_ERROR,
};

/*
 * The first line, trimmed at its end. A file whose first line is empty is
 * CONTROL_OK with an empty *value. *value is overwritten.
 */
enum control_result control_line(int homefd, const char *name,
				 struct str *value) MUST_USE;

/* The same; where the file is absent or empty, control/me, as in qmail. */
enum control_result control_line_or_me(int homefd, const char *name,
				       struct str *value) MUST_USE;

/* A decimal number; *value is unchanged unless CONTROL_OK. */
enum control_result control_u64(int homefd, const char *name,
				uint64_t *value) MUST_USE;

/*
 * A list. Entries lie in one buffer; control_list_next() walks them:
 *
 *	struct control_list list = { 0 };
 *	struct view entry, rest;
 *
 *	if (control_list(homefd, "rcpthosts", &list) == CONTROL_OK)
 *		for (rest = control_list_start(&list);
 *		     control_list_next(&rest, &entry);)
 *			...
 *	control_list_free(&list);
 */
struct control_list {
	struct str entries; /* each ends in a NUL */
};

enum control_result control_list(int homefd, const char *name,
				 struct control_list *list) MUST_USE;
struct view control_list_start(const struct control_list *list);
bool control_list_next(struct view *rest, struct view *entry);
void control_list_free(struct control_list *list);

/*
 * Parsing alone, for the fuzzer and for files outside control/ that have
 * the same form: entries of `text` are appended to list.
 */
void control_list_parse(struct control_list *list, struct view text);

/* Read a whole file below dirfd, at most max_bytes. */
enum control_result control_read(int dirfd, const char *path, struct str *text,
				 size_t max_bytes) MUST_USE;
/* The rest of an open file; fd stays the caller's. OK or ERROR. */
enum control_result control_read_fd(int fd, struct str *text,
				    size_t max_bytes) MUST_USE;

#endif
