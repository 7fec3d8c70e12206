#ifndef SEND_REPORTS_H
#define SEND_REPORTS_H

/*
 * The bounce file of a message: why recipients failed (doc/queue.md).
 *
 * A tail that a crash has torn is ignored when reading, and overwritten by
 * the next report.
 */

#include <stdint.h>

#include "lib/str.h"

#define REPORTS_MAX_BYTES ((size_t)64 << 20) /* a reader ignores the rest */

/*
 * Append one. *end is where the last whole report ends; UINT64_MAX when that
 * is not known yet. 0, or -1 with errno.
 */
int reports_append(int homefd, const char *path, uint64_t *end,
		   uint64_t recipient, struct view text) MUST_USE;

/*
 * Read all of them; an absent file has none. *content owns the text, and is
 * cut to whole records. 0, or -1 with errno.
 */
int reports_read(int homefd, const char *path, struct str *content) MUST_USE;

/* Walk: start with the content. */
bool reports_next(struct view *rest, uint64_t *recipient, struct view *text);

#endif
