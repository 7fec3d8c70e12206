#ifndef SEND_DESTINATIONS_H
#define SEND_DESTINATIONS_H

/*
 * Remote hosts: how many jobs each may have at once, and who waits until it
 * may have another.
 *
 * Each host has a window of its own. It begins with 5 and grows by one for
 * every windowful of jobs that have found the host working. As many jobs in a
 * row that have not make the host dead, and its window one less: for a minute
 * it gets none, and then one, until that has found it working. A job that was
 * answered has found it working, whatever the answer; one whose result says
 * that the next hop was the trouble has not.
 *
 * A silent host holds its jobs until they time out. So that such hosts never
 * hold every slot, a quarter of them is kept from hosts that do not work, or
 * have not answered yet: only the first job to a host that was never tried
 * may use this, all but a tenth, which is for hosts that worked last. A job
 * that lasts long tells that its host does not work, until it is answered.
 *
 *	d = destinations_get(&ds, host);             held
 *	if (destinations_state(&ds, d, fresh, now_ms) == DESTINATION_OPEN) {
 *		is_doubtful = destinations_begin(&ds, d);
 *		...
 *		destinations_end(&ds, d, is_doubtful, true, text, now_ms);
 *	} else {
 *		destinations_wait(&ds, d, fresh, &w);
 *	}
 *	destinations_drop(&ds, d);
 *	...
 *	destinations_call(&ds, now_ms, &d, &w, &fresh)     whose turn it is
 *
 * Hosts that may have another job, and that somebody waits for, call in turn;
 * where fresh and old mail wait for one, three calls of four are for fresh
 * mail.
 *
 * Memory: at most DESTINATIONS_MAX hosts, of which those are forgotten that
 * were used longest ago. Where none can be, d is NULL: a host without a window
 * that nobody can wait for. At most DESTINATIONS_WAITERS_MAX wait altogether.
 *
 * Times are milliseconds on the monotonic clock.
 */

#include <stdint.h>

#include "lib/str.h"
#include "send/schedule.h"
#include "send/waiters.h"

#define DESTINATIONS_MAX 20000
#define DESTINATIONS_WAITERS_MAX (UINT64_C(1) << 20)
#define DESTINATIONS_WINDOW 5
#define DESTINATIONS_DEAD_MS 60000

/* What is known of a host; which slots it may have depends on it. */
enum destination_kind {
	DESTINATION_PROVEN, /* found working last */
	DESTINATION_NEW,    /* never tried */
	DESTINATION_DOUBTFUL,
	DESTINATION_KINDS,
};

/* The lists that a host may be in; one at a time. */
enum destination_list {
	/* First those that may call, by kind. */
	DESTINATIONS_DEAD = DESTINATION_KINDS, /* by when it will be over */
	DESTINATIONS_IDLE, /* may be forgotten; by last use */
	DESTINATIONS_LISTS,
	DESTINATIONS_NONE = DESTINATIONS_LISTS,
};

struct destination {
	struct destination *chain; /* in its bucket */
	struct destination *next;  /* in its list */
	struct destination *previous;
	enum destination_list list;
	uint64_t serial; /* never used twice */
	struct str host; /* lower case */
	uint64_t held;   /* times */
	uint64_t in_flight;
	uint64_t window;
	uint64_t streak;   /* working, since the window last changed */
	uint64_t failures; /* in a row */
	bool is_tried;
	bool is_proven;
	bool was_dead; /* and not found working since */
	int64_t dead_until_ms;
	struct str reason;         /* of the last failure */
	struct waiters waiters[2]; /* old, fresh */
	unsigned calls;            /* counted, for the fourth one */
};

struct destinations_line {
	struct destination *first;
	struct destination *last;
};

struct destinations {
	uint64_t slots;
	const struct schedule *schedule;
	uint64_t seed;
	uint64_t dead_ms;
	uint64_t serial;
	uint64_t doubtful; /* jobs in flight */
	struct destination **buckets;
	size_t count;
	uint64_t waiting; /* all together */
	struct destinations_line lists[DESTINATIONS_LISTS];
	unsigned turn; /* of the kinds */
};

enum destination_state {
	DESTINATION_OPEN,
	DESTINATION_FULL,  /* its window is, or others wait for it */
	DESTINATION_SHORT, /* too many slots are with hosts like it */
	DESTINATION_DEAD,  /* or being tried for the first time since */
};

/*
 * For so many jobs at once, with the schedule that the waiters are in. The
 * seed is one that nobody can foretell, since strangers choose hosts' names.
 */
void destinations_init(struct destinations *ds, uint64_t slots,
		       const struct schedule *schedule, uint64_t seed);
void destinations_free(struct destinations *ds);

/* Held until it is dropped; maybe NULL. */
struct destination *destinations_get(struct destinations *ds, struct view host);
void destinations_drop(struct destinations *ds, struct destination *d);

/* May mail that is fresh, or not, have a job now? */
enum destination_state destinations_state(const struct destinations *ds,
					  const struct destination *d,
					  bool fresh, int64_t now_ms);

/* A job goes there; true when it counts as doubtful, which end() must know. */
bool destinations_begin(struct destinations *ds,
			struct destination *d) MUST_USE;
/* It has lasted long, and has not been counted as doubtful. Now it is. */
void destinations_doubt(struct destinations *ds, struct destination *d);

enum destination_news {
	DESTINATION_AS_BEFORE,
	DESTINATION_DIED,
	DESTINATION_REVIVED,
};

/* It is answered. `text` is why, where it does not work. */
enum destination_news destinations_end(struct destinations *ds,
				       struct destination *d, bool is_doubtful,
				       bool works, struct view text,
				       int64_t now_ms);
/* As if none had ever been dead. */
void destinations_forgive(struct destinations *ds);

/* False: too many wait. */
bool destinations_wait(struct destinations *ds, struct destination *d,
		       bool fresh, const struct waiter *w) MUST_USE;
/* One that was called, and is not done with his turn: before the others. */
void destinations_return(struct destinations *ds, struct destination *d,
			 bool fresh, const struct waiter *w);
/* Who may have the next job, at *d, which is held then. False: nobody. */
bool destinations_call(struct destinations *ds, int64_t now_ms,
		       struct destination **d, struct waiter *w,
		       bool *fresh) MUST_USE;
/* Lower *deadline to when destinations_call() may have another answer. */
void destinations_prepare(const struct destinations *ds, int64_t *deadline);

#endif
