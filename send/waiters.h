#ifndef SEND_WAITERS_H
#define SEND_WAITERS_H

/*
 * Messages that wait for one remote host, first in, first out.
 *
 * Nobody tells the queue when one of them need not wait any more: a waiter
 * belongs to a round of its message (send/schedule.h), and says nothing once
 * the next round has begun or the message is gone. Such ones are dropped
 * when the queue is full, before it grows, so that at most half of it is
 * wasted.
 */

#include <stdint.h>

#include "lib/qfile.h"
#include "send/schedule.h"

struct waiter {
	uint64_t id; /* of the message, */
	uint32_t no; /* in the schedule */
	uint32_t round;
	uint32_t offset; /* a cursor: whose turn it is is not before this */
	uint32_t number;
};

struct waiters { /* all-zero: nobody */
	struct waiter *ring;
	size_t first;
	size_t count;
	size_t cap;
};

/* For one in the schedule. False: the envelope is too long to point into. */
bool waiter_make(struct waiter *w, const struct schedule *s, uint32_t no,
		 const struct qfile_cursor *at) MUST_USE;
bool waiter_is_current(const struct waiter *w, const struct schedule *s);
struct qfile_cursor waiter_cursor(const struct waiter *w);

void waiters_append(struct waiters *ws, const struct schedule *s,
		    const struct waiter *w);
/* Before the others. */
void waiters_return(struct waiters *ws, const struct schedule *s,
		    const struct waiter *w);
/* There must be one. */
struct waiter waiters_take(struct waiters *ws);
void waiters_free(struct waiters *ws);

#endif
