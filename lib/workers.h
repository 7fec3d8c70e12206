#ifndef LIB_WORKERS_H
#define LIB_WORKERS_H

/*
 * The workers of a spawner that wait for another job, by key.
 *
 *	workers_init(&w, room);
 *	workers_park(&w, &worker)                 it has answered and stays
 *	...
 *	if (workers_use(&w, key, &file, packet, fd, &worker))
 *		...the job is in worker.sock, and it is the caller's again
 *	...
 *	workers_prepare(&w, &polls, &deadline);   around each poll
 *	workers_act(&w, &polls, now);
 *	workers_ended(&w, pid)                    after waitpid()
 *
 * One that has had nothing to do for WORKERS_IDLE_MS, that says something
 * unasked or was started from a file which has changed since is told to end:
 * its socket is closed, and it is killed when it has not ended
 * WORKERS_END_MS later.
 */

#include <sys/types.h>

#include "lib/filemark.h"
#include "lib/polls.h"
#include "lib/str.h"

/* How long a worker may wait for its next job. */
#define WORKERS_IDLE_MS 30000
/* One that has answered, or was told to end, ends within this. */
#define WORKERS_END_MS 10000

struct worker {
	pid_t pid; /* 0 when there is none */
	int sock;  /* -1: it has been told to end */
	struct str key;
	struct filemark file;
	int64_t until_ms; /* until it is told to end, or killed */
	bool polled;
	size_t poll_no;
};

struct workers {
	struct worker *all;
	size_t room;
};

void workers_init(struct workers *w, size_t room);
void workers_free(struct workers *w);

/* Those that could take a job. */
size_t workers_waiting(const struct workers *w);
/* And those that have been told to end. */
size_t workers_alive(const struct workers *w);

/*
 * Keep one: pid, sock, key and file are set, and taken over. False, with
 * nothing taken, when there is no room.
 */
bool workers_park(struct workers *w, struct worker *worker) MUST_USE;
/*
 * Send the packet to the one of this key and file that worked last. True
 * when one has it; its pid and sock are the caller's then.
 */
bool workers_use(struct workers *w, struct view key,
		 const struct filemark *file, struct view packet, int fd,
		 struct worker *worker) MUST_USE;

/* Tell the one that has waited longest to end, or all. */
void workers_end_one(struct workers *w);
void workers_end_all(struct workers *w);

void workers_prepare(struct workers *w, struct polls *polls, int64_t *deadline);
void workers_act(struct workers *w, const struct polls *polls, int64_t now);
/* The process is gone: forget it, if it is one of ours. */
void workers_ended(struct workers *w, pid_t pid);

/* It leads a group: with all that it has started. */
void workers_kill(pid_t pid);

#endif
