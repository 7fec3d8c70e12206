#ifndef TOOLS_VPOPMAIL_VFOLDER_H
#define TOOLS_VPOPMAIL_VFOLDER_H

/*
 * The directory of a user, below that of his domain.
 */

#include "lib/str.h"

/* Holds the address of the last log-in, 0.0.0.0 before the first. */
#define VFOLDER_LASTAUTH "lastauth"
#define VFOLDER_NO_IP "0.0.0.0"

/*
 * Make NAME and NAME/Maildir. A directory left over from an interrupted
 * vadduser, with no message in it, is taken over; -1 with EEXIST for any
 * other, since its mail would get a new owner.
 */
int vfolder_make(int at, const char *name) MUST_USE;

/*
 * Remove a directory below `at` with all it holds, without following any
 * link: it first gets the name .deleted.NAME, in `at`, so that nothing finds
 * it half empty. What an interrupted call left goes too. -1 with errno.
 */
int vfolder_remove(int at, const char *name) MUST_USE;
/* Remove what a directory holds, and leave itself. -1 with errno. */
int vfolder_empty(int at, const char *name) MUST_USE;

#endif
