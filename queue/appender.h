#ifndef QUEUE_APPENDER_H
#define QUEUE_APPENDER_H

/*
 * Messages appended to the queue's log, and made durable together.
 *
 *	append.done = ...;
 *	if (appender_append(&a, str_view(&image), id, &append) == 0)
 *		...done() is called by committers_act() when it is durable
 *	appender_flush(&a);
 *
 * One fdatasync is under way at a time; what is appended meanwhile shares the
 * next one. Segments are prepared (filled with zeros and synced) by a
 * committer, one at a time, before they are used: writing over them then
 * changes nothing but their bytes.
 *
 * A segment is FREE, then FILLING, then FULL, and FREE again when the taker
 * has released all of its records. What was there at the start, or was in
 * the hands of a taker that is gone, is STALE until a taker has replayed it.
 */

#include <stdint.h>

#include "lib/qlog.h"
#include "queue/committer.h"

enum segment_phase {
	SEGMENT_NONE,    /* there is no such file, or it must not be used */
	SEGMENT_UNKNOWN, /* it could not be looked at yet */
	SEGMENT_PREPARING,
	SEGMENT_FREE,
	SEGMENT_FILLING,
	SEGMENT_FULL,
	SEGMENT_STALE,
};

struct segment {
	enum segment_phase phase;
	int fd; /* -1: no file is open */
	uint64_t generation;
	uint64_t used;  /* bytes */
	uint64_t live;  /* records appended and not released */
	bool broken;    /* a sync failed: not to be filled further */
	bool forbidden; /* nor to be used again */
};

struct append {
	/* error: 0, or the errno of what failed; then it is cancelled. */
	void (*done)(struct append *append, int error);
	void *owner;         /* for done() */
	struct append *next; /* while it waits */
	uint64_t segment;
	uint64_t offset; /* of the record */
	uint64_t length; /* of the image */
};

struct appender {
	struct commit sync;    /* first: a commit is its appender */
	struct commit prepare; /* of segment `preparing` */
	struct committers *committers;
	int homefd;
	struct segment segments[QLOG_SEGMENTS_MAX];
	struct segment *filling; /* or NULL */
	size_t preparing;
	uint64_t generation; /* the last one given */
	uint64_t latest_id;  /* that its segments tell of */
	size_t unknown;      /* segments */
	int64_t look_ms;     /* not to look again before */
	int64_t prepare_ms;  /* nor to prepare one */
	bool has_folder;
	bool knows_folder; /* or its absence */
	bool complained;   /* that it cannot look */
	bool is_preparing;
	bool is_syncing;
	struct append *syncing; /* what the sync under way covers */
	struct append *first;   /* what waits for the next one */
	struct append *last;
	struct str space;
};

void appender_open(struct appender *a, int homefd,
		   struct committers *committers);
/*
 * Look at the segments that are there, and later at those of which nothing
 * could be learned before. Returns which ones have become STALE by it, a bit
 * each. Where something cannot be looked at the log says so, and it is tried
 * again when it is time, for whose records nobody has seen wait.
 */
uint32_t appender_look(struct appender *a) MUST_USE;
void appender_until(const struct appender *a, int64_t *deadline);
/* Has everything been looked at, and is there a log at all? */
bool appender_is_usable(const struct appender *a) MUST_USE;
/* Begin to make a segment, unless there is a free one. */
void appender_prepare(struct appender *a);
/*
 * -1: there is no room (another segment is being prepared), or an error; the
 * image has to go elsewhere. *append stays the caller's until done().
 */
int appender_append(struct appender *a, struct view image, uint64_t id,
		    struct append *append) MUST_USE;
/* Begin the next sync, unless one is under way: once a turn of the loop. */
void appender_flush(struct appender *a);
/* The taker has done with `count` records. */
void appender_release(struct appender *a, uint64_t number, uint64_t count);
/* The taker has replayed a STALE one. */
void appender_replayed(struct appender *a, uint64_t number);
/* There is no taker any more: what it had in hand must be replayed. */
void appender_abandon(struct appender *a);
/* No sync or preparation is under way. */
bool appender_is_idle(const struct appender *a);
void appender_close(struct appender *a);

#endif
