#ifndef QUEUE_HANDOVER_H
#define QUEUE_HANDOVER_H

/*
 * The connection to qmail-send: it hears of each message as soon as that is
 * accepted, and says when it needs a record of the log no more.
 *
 * There is one at a time; a new connection takes the place of the old one.
 * Records are only appended to the log while there is one that keeps up:
 * handover_takes_records(). Else a message becomes a file in new/.
 */

#include <stdint.h>

#include "lib/polls.h"
#include "lib/str.h"
#include "queue/appender.h"

struct handover {
	struct appender *appender;
	int listener;    /* -1: it could not be made yet */
	int sock;        /* -1: nobody is there */
	bool greeted;    /* it knows what to replay, and hears of the rest */
	bool ending;     /* it is about to go */
	uid_t uid;       /* the only one who may connect */
	bool logs;       /* there will be records */
	bool complained; /* that it could not be made */
	int64_t pause_until_ms; /* no listening before */
	uint64_t outstanding;
	/* How many of those lately released had been moved to files. */
	uint64_t lately_released;
	uint64_t lately_moved;
	int64_t lately_ms; /* since when */
	int64_t pause_ms;  /* until then everything becomes a file */
	struct str out;    /* records not yet sent */
	struct str in;     /* space for a packet */
	size_t listener_no;
	size_t sock_no;
};

/*
 * The working directory is the home. Where nobody can connect yet the log
 * says so, and it is tried again.
 */
void handover_open(struct handover *h, struct appender *appender, uid_t uid,
		   bool logs);
void handover_close(struct handover *h);

/* May a message be appended to the log now? */
bool handover_takes_records(struct handover *h);
/* It is durable. False when there is nobody: a replay will find it. */
bool handover_record(struct handover *h, const struct append *append);
bool handover_file(struct handover *h, uint64_t id);
/* A segment is STALE that was not when it was greeted. */
void handover_replay(struct handover *h, uint64_t segment);

void handover_prepare(struct handover *h, struct polls *polls,
		      int64_t *deadline);
void handover_act(struct handover *h, const struct polls *polls);

#endif
