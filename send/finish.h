#ifndef SEND_FINISH_H
#define SEND_FINISH_H

/*
 * The end of a message: when no recipient waits, its bounce is queued if
 * one failed, then the bounce file is removed, then the message.
 *
 * A bounce is queued by a child process, so that the scheduler never waits
 * for the queue it works on. Some of them may be at it at once; the others
 * wait in the schedule as DUE_END.
 */

#include <stdint.h>
#include <sys/types.h>

#include "lib/polls.h"
#include "lib/qfile.h"
#include "lib/str.h"

#define FINISH_CHILDREN 10

struct send;

struct finish_child {
	pid_t pid;   /* 0: none */
	int from;    /* pipe: 8 bytes, qmail-queue's pid; then why not */
	uint32_t no; /* in the schedule */
	struct str said;
	size_t poll_no;
	bool polled;
};

struct finish {
	struct finish_child children[FINISH_CHILDREN];
	size_t running;
};

/* Nobody waits. Takes over *file. */
void finish_message(struct send *s, uint32_t no, struct qfile *file);
/* Begin what is due. */
void finish_start(struct send *s);
void finish_prepare(struct send *s, struct polls *polls, int64_t *deadline);
void finish_act(struct send *s, const struct polls *polls);

#endif
