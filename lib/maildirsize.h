#ifndef LIB_MAILDIRSIZE_H
#define LIB_MAILDIRSIZE_H

/*
 * How full a Maildir is: the file maildirsize of Maildir++, shared with
 * Courier and vpopmail. Line 1 is the quota, the others are signed numbers
 * of bytes and messages; their sums count.
 *
 *	switch (maildirsize_room(fd, &quota, size)) {
 *	case MAILDIRSIZE_FITS:
 *		...deliver...
 *		maildirsize_add(fd, size, 1);
 *
 * Where the file is absent, long, damaged, of another quota, or says that
 * the mailbox is full and is not quite new, messages are counted anew, and
 * the file is written again. Not counted: .Trash, and messages with flag T.
 *
 * Without a quota nothing is read or written.
 */

#include "lib/str.h"
#include "lib/vquota.h"

struct maildirsize {
	uint64_t bytes;
	uint64_t messages;
};

enum maildirsize_result {
	MAILDIRSIZE_FITS,
	MAILDIRSIZE_FULL,
	MAILDIRSIZE_ERROR, /* errno */
};

/* `at` is the mailbox's root. May one message of `size` bytes come in? */
enum maildirsize_result maildirsize_room(int at, const struct vquota *quota,
					 uint64_t size) MUST_USE;

/* Note that messages came (or, with negative numbers, went). */
void maildirsize_add(int at, int64_t bytes, int64_t messages);

/* What the mailbox holds. 0, or -1 with errno. */
int maildirsize_usage(int at, const struct vquota *quota,
		      struct maildirsize *usage) MUST_USE;

/*
 * Sum up the text of such a file. -1: unusable, or of another quota.
 * *lines: how many data lines.
 */
int maildirsize_parse(struct view text, const struct vquota *quota,
		      struct maildirsize *usage, size_t *lines) MUST_USE;

/*
 * The size in a message's file name (`,S=123`), and whether it has flag T.
 * false when there is no size.
 */
bool maildirsize_of_name(struct view name, uint64_t *size, bool *trashed);

#endif
