#ifndef SEND_SYNCMODE_H
#define SEND_SYNCMODE_H

/*
 * The line `sync` of queue/format. A queue may have been copied to another
 * file system, or that one's options changed, since it was written.
 */

#include "lib/qformat.h"
#include "lib/str.h"

/*
 * Find out what the file system allows and write it where it differs. 0, or
 * -1 with errno.
 */
int syncmode_settle(int homefd) MUST_USE;

/* `text` with its sync line saying `sync`, appended to *to. */
void syncmode_replace(struct str *to, struct view text, enum qsync sync);

#endif
