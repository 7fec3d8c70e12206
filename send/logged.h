#ifndef SEND_LOGGED_H
#define SEND_LOGGED_H

/*
 * Messages that lie in the queue's log (lib/qlog.h), and the connection over
 * which qmail-queued tells of them and of new files (lib/handover.h).
 *
 * A message is taken from its record as soon as it is accepted. When all of
 * its recipients have been delivered it was never a file. In any other case
 * it becomes one: `moved` to mess/, synced, and only then its record is let
 * go. That happens
 *
 *	- when a recipient is deferred or fails,
 *	- when a channel that it needs has no room for it (but local mail
 *	  waits its turn, for a while),
 *	- when a remote host that did not work last may have no more jobs,
 *	- when it has been in the log for some seconds, in work or not.
 *
 * So a segment of the log is free again soon, and whatever waits long is a
 * file that the rest of qmail-send knows. Where qmail-queued says "replay",
 * after a crash of either, what is left of a segment becomes files too.
 */

#include <stdint.h>

#include "lib/polls.h"
#include "lib/qlog.h"
#include "lib/str.h"

struct send;
struct message;

struct logged_segment {
	int fd;            /* -1: not opened yet */
	bool replay;       /* is to be looked at */
	uint64_t released; /* records, not yet told */
	uint64_t moved;    /* of them */
};

/* The mark of a record which could not be written yet. */
struct logged_mark {
	uint64_t segment;
	uint64_t offset;
	bool releases; /* the record, once it is there */
	bool moved;
};

struct logged {
	int sock;           /* -1: not connected */
	bool heard;         /* its first packet has come */
	bool complained;    /* the log has heard that nobody is there */
	int64_t connect_ms; /* not before */
	int64_t replay_ms;  /* not before, after trouble */
	struct logged_segment segments[QLOG_SEGMENTS_MAX];
	struct message *oldest; /* messages in the log, by arrival */
	struct message *newest;
	struct logged_mark *marks; /* that failed, to be tried again */
	size_t mark_count;
	size_t mark_space;
	int64_t mark_ms;   /* not before */
	struct str packet; /* scratch: */
	struct str image;
	size_t poll_no;
};

void logged_open(struct send *s);
void logged_prepare(struct send *s, struct polls *polls, int64_t *deadline);
void logged_act(struct send *s, const struct polls *polls);
/* After SIGALRM: what is to be replayed or marked waits no longer. */
void logged_run_all(struct send *s);
/* Replay, move what has been there too long, tell what is released. */
void logged_run(struct send *s);

/*
 * Make a file in mess/ of it; its passes go on. -1 when the log says why:
 * then it stays where it is, and is tried again.
 */
int logged_move(struct send *s, struct message *m) MUST_USE;
/* qmail-queued should know that we have been told to end. */
void logged_ending(struct send *s);
/* Everybody has it: let the record go. */
void logged_release(struct send *s, struct message *m);
/* Its record does not check: into bad/ with the bytes, and let it go. */
void logged_set_aside(struct send *s, struct message *m);

#endif
