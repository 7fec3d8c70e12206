#ifndef QUEUE_COMMITTER_H
#define QUEUE_COMMITTER_H

/*
 * Processes that wait for fsync, so that qmail-queued need not, and so that
 * several are under way at once: the file system's journal then merges them.
 *
 *	committers_open(&c, 8, &setup);
 *	committers_submit(&c, &commit);      the descriptor stays the caller's
 *	committers_prepare(&c, &polls, &deadline);
 *	...poll...
 *	committers_act(&c, &polls);          calls commit->done
 *	committers_close(&c);
 *
 * One gets a file's descriptor with the shard of its folder, syncs it, in
 * posix mode the folder too, and answers with errno. For the log it syncs a
 * segment's data, or makes a new segment. It does one at a time;
 * commits beyond their number wait in line. One that dies fails the commit
 * it was at (EIO) and is started again. They end when their socket closes,
 * hold queue/socket/lock as long as they live, and keep no other descriptor
 * of ours.
 */

#include <stdint.h>
#include <sys/types.h>

#include "lib/polls.h"
#include "lib/qformat.h"

enum commit_kind {
	COMMIT_FILE,    /* fsync, in posix mode its folder too */
	COMMIT_LOG,     /* fdatasync: a segment keeps its size */
	COMMIT_PREPARE, /* fill a new segment with zeros; sync it, its folder */
};

struct commit {
	enum commit_kind kind;
	int fd;
	uint64_t shard; /* of a FILE */
	/* error: 0, or the errno of what failed. */
	void (*done)(struct commit *commit, int error);
	void *owner;         /* for done() */
	struct commit *next; /* while in line */
};

struct committer {
	int sock; /* -1: not running */
	pid_t pid;
	struct commit *at; /* what it is doing, or NULL */
	int64_t start_ms;  /* not to be started before */
	size_t poll_no;
};

struct committers {
	struct committer *list;
	size_t count;
	int homefd;
	int lockfd;
	enum qsync sync;
	struct str answer;    /* space for one */
	struct commit *first; /* in line */
	struct commit *last;
};

/* Starts them all. -1 with errno if not even one could be started. */
int committers_open(struct committers *c, size_t count, int homefd, int lockfd,
		    enum qsync sync) MUST_USE;
void committers_submit(struct committers *c, struct commit *commit);
void committers_prepare(struct committers *c, struct polls *polls,
			int64_t *deadline);
void committers_act(struct committers *c, const struct polls *polls);
/* Nothing may be under way. Waits for their end. */
void committers_close(struct committers *c);

#endif
