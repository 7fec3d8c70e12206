#ifndef SEND_TAKE_H
#define SEND_TAKE_H

/*
 * Which messages there are: mess/ once at the start, new/ whenever the
 * trigger is pulled or a qmail-queued is new, and at least once a minute.
 *
 * Names only are read from the directories. A file in new/ that somebody
 * holds locked is being committed and is left for the next time; the others
 * are taken over into mess/, oldest first, some of them a turn.
 */

#include <stdint.h>

#include "lib/polls.h"
#include "lib/qfile.h"
#include "lib/str.h"

struct send;

struct take_name {
	uint64_t id;
	uint64_t shard; /* where it was found */
};

struct take_names {
	struct take_name *names;
	size_t count;
	size_t cap;
};

#define TAKE_ODD_MAX 64

struct take {
	int mutex;
	int trigger;
	int trigger_hold; /* so that the FIFO never has its end */
	bool pulled;
	bool scanned;
	int64_t rescan_ms;       /* monotonic */
	struct take_names found; /* in new/, not yet looked at: */
	size_t next;
	uint64_t odd[TAKE_ODD_MAX]; /* ids the log has heard of */
	size_t odd_count;
	size_t poll_no;
};

/* The mutex and the trigger. 0, or -1 when the log says why. */
int take_open(struct send *s) MUST_USE;
/* What mess/ holds, youngest first. -1 when the log says why. */
int take_start(struct send *s) MUST_USE;
void take_prepare(struct send *s, struct polls *polls, int64_t *deadline);
void take_act(struct send *s, const struct polls *polls);
/* Take over some of what is new. */
void take_run(struct send *s);
/* Look at new/ in this turn. */
void take_look(struct send *s);
/* qmail-queued says that this file lies in new/. */
void take_announced(struct send *s, uint64_t id);
/* The log's lines on a new message. */
void take_log_new(struct send *s, const struct qfile *file);
/* Close the descriptors. */
void take_close(struct take *take);

#endif
