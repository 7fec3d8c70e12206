#ifndef LIB_READY_H
#define LIB_READY_H

/*
 * Waiting for one descriptor, with the two limits of lib/in.h and lib/out.h:
 * timeout_ms for this wait (-1: none) and deadline_ms on the monotonic clock
 * for everything (0: none). Behind the deadline nothing is ready any more,
 * or a peer that always has one more byte would never lose.
 */

#include "lib/str.h"

/* events as in poll(2). 0, or -1 with errno: ETIMEDOUT at either limit. */
int ready_wait(int fd, short events, int timeout_ms,
	       int64_t deadline_ms) MUST_USE;

#endif
