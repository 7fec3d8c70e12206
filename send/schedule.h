#ifndef SEND_SCHEDULE_H
#define SEND_SCHEDULE_H

/*
 * What qmail-send remembers of each message: its id, and when something is
 * due for it. Nothing else is kept in memory while a message rests.
 *
 * There are three clocks for a message: the next attempt of its local
 * recipients, of its remote ones, and its end (bounce and removal). Each is
 * a heap, so that the next one is always at hand:
 *
 *	no = schedule_add(&s, id);
 *	schedule_set(&s, no, DUE_LOCAL, now);
 *	if (schedule_top(&s, DUE_LOCAL, false, now, &no))
 *		...
 *	schedule_remove(&s, no);
 *
 * Messages that have never been tried on a channel, the fresh ones, have a
 * heap of their own there, oldest first. In the others, what has been due
 * longest comes first; of those due since the same second, the youngest.
 *
 * A message is known by its number `no`, which stays the same until it is
 * removed and may then be used again. Times are wall clock seconds.
 */

#include <stdint.h>

#include "lib/str.h"

enum due {
	DUE_LOCAL,
	DUE_REMOTE,
	DUE_END,
	DUE_COUNT,
};

#define DUE_NEVER INT64_MAX

/* Bits 0 to 2: fresh, by enum due. */
#define SCHEDULE_OPEN 8U     /* in work */
#define SCHEDULE_BOUNCED 16U /* its bounce is queued */
/* From here on: its round. */
#define SCHEDULE_ROUND 256U

struct schedule_entry {
	uint64_t id; /* 0: a free entry */
	int64_t due[DUE_COUNT];
	uint32_t place[DUE_COUNT]; /* in the heap, from 1; 0 when not there */
	uint32_t flags;
};

struct schedule_heap {
	uint32_t *nos;
	size_t count;
	size_t cap;
};

#define SCHEDULE_HEAPS (DUE_COUNT + 2) /* the last two: fresh ones */

struct schedule {
	struct schedule_entry *entries;
	size_t count; /* messages */
	size_t used;  /* entries in use or free */
	size_t cap;
	uint32_t first_free; /* chained through place[0], from 1 */
	struct schedule_heap heaps[SCHEDULE_HEAPS];
};

/* With nothing due. */
uint32_t schedule_add(struct schedule *s, uint64_t id);
void schedule_remove(struct schedule *s, uint32_t no);
/* DUE_NEVER takes it out. It is not fresh (any more). */
void schedule_set(struct schedule *s, uint32_t no, enum due which, int64_t due);
/* Due now, among the fresh ones; for DUE_LOCAL and DUE_REMOTE. */
void schedule_set_fresh(struct schedule *s, uint32_t no, enum due which,
			int64_t now);
/* Is `no` still the message of this id? */
bool schedule_is(const struct schedule *s, uint32_t no, uint64_t id);
/* Set or clear SCHEDULE_OPEN, SCHEDULE_BOUNCED. */
void schedule_flag(struct schedule *s, uint32_t no, uint32_t set,
		   uint32_t clear);
const struct schedule_entry *schedule_entry(const struct schedule *s,
					    uint32_t no);
/*
 * The attempts at a message's remote recipients come in rounds; what waits
 * for a host (send/waiters.h) waits in one of them.
 */
void schedule_next_round(struct schedule *s, uint32_t no);
uint32_t schedule_round(const struct schedule_entry *entry);

/* The first in order, if it is due. */
bool schedule_top(const struct schedule *s, enum due which, bool fresh,
		  int64_t now, uint32_t *no);
/* When the first in order is due, or DUE_NEVER. */
int64_t schedule_next(const struct schedule *s, enum due which, bool fresh);

/* Everything that waits is due now. */
void schedule_run_all(struct schedule *s, int64_t now);
/* The clock was set back: let all that waits be due that much earlier. */
void schedule_shift(struct schedule *s, int64_t seconds);
void schedule_free(struct schedule *s);

#endif
