#ifndef SEND_NAMES_H
#define SEND_NAMES_H

/*
 * Names in the queue: ids, and moving a file to another folder without ever
 * taking another one's place.
 */

#include <stdint.h>

#include "lib/str.h"

/* A decimal number above 0 without leading zeros. */
bool names_parse_id(const char *name, uint64_t *id) MUST_USE;

/*
 * 0, or -1 with errno; EEXIST when `to` is another file. Paths are below
 * homefd.
 */
int names_move(int homefd, const char *from, const char *to) MUST_USE;
/*
 * The same where no journal ties the two directories together, and the old
 * name might go from the disk before the new one is there: first the new one
 * is made durable. 1 when both led to this file already, because a power cut
 * came between; then `from` is gone now and `to` was known before.
 */
int names_move_durably(int homefd, const char *from, const char *to) MUST_USE;

#endif
