#ifndef LOCAL_VERDICT_H
#define LOCAL_VERDICT_H

/*
 * How a delivery ended, and the words for it. Steps return 0 to go on, or -1
 * with the verdict set; the first one counts.
 */

#include "lib/job.h"
#include "lib/str.h"

struct verdict {
	enum job_outcome outcome;
	struct str text; /* lines; what programs said comes first */
	bool is_full;    /* no more of what programs say */
	/*
	 * Whose words warnings are, in the text: of a program whose descriptor
	 * 2 would lead there. NULL: ours, and they go to the log.
	 */
	const char *warns_as;
};

/* As warn_errno(): not for the sender, but the one who looks for the reason. */
void verdict_warn_errno(struct verdict *v, const char *what, const char *path);

/* Both append the words and return -1, for `return verdict_...`. */
int verdict_defer(struct verdict *v, const char *fmt, ...) PRINTF_LIKE(2, 3);
int verdict_fail(struct verdict *v, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
