#ifndef TOOLS_VPOPMAIL_VLINES_H
#define TOOLS_VPOPMAIL_VLINES_H

/*
 * Changing a file of lines (control/rcpthosts, users/assign ...): read under
 * the lock FILE.lock, change in memory, replace the file whole.
 *
 *	if (vlines_begin(&lines, homefd, "control/rcpthosts") == -1) ...
 *	vlines_add(&lines, domain);
 *	if (vlines_end(&lines) == -1) ...
 *
 * A file that is absent is an empty one. Owner and mode are kept; a new file
 * is 0644. Lines compare without case and without blanks at their end.
 */

#include <sys/types.h>

#include "lib/str.h"

struct vlines {
	int dirfd; /* borrowed */
	int lock;
	struct str path;
	struct str text; /* each line ends in a newline */
	struct str before;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	bool existed;
};

int vlines_begin(struct vlines *lines, int dirfd, const char *path) MUST_USE;
/* Only to look, without the lock: replacing is atomic. End with abort. */
int vlines_read(struct vlines *lines, int dirfd, const char *path) MUST_USE;
/* The next line, trimmed, of `for (rest = str_view(&lines.text); ...)`. */
bool vlines_next(struct view *rest, struct view *line);
bool vlines_has(const struct vlines *lines, struct view line);
size_t vlines_count(const struct vlines *lines);
/* At the end, unless it is there. */
void vlines_add(struct vlines *lines, struct view line);
/* Before the first line that sorts after it, but never behind a `.`. */
void vlines_add_sorted(struct vlines *lines, struct view line);
/* Every line that is this, or with prefix true, begins with it. */
void vlines_remove(struct vlines *lines, struct view line, bool prefix);
/* Write if changed; unlock and free in any case. -1 with errno. */
int vlines_end(struct vlines *lines) MUST_USE;
/* Unlock and free without writing; keeps errno. */
void vlines_abort(struct vlines *lines);

#endif
