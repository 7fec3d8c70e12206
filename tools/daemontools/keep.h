#ifndef DAEMONTOOLS_KEEP_H
#define DAEMONTOOLS_KEEP_H

/*
 * The listening socket that supervise keeps for ./run (lib/keep.h): one, over
 * the death of the process that left it here, for the next one to take.
 *
 * It is closed when ./run is not to be started again (the caller says when:
 * keep_drop()), when ./run has ended by itself without asking for it, so that
 * another program can have the port, and when nobody has asked for
 * KEEP_UNCLAIMED_MS. Nothing here waits, and nothing takes memory.
 *
 *	keep_prepare(&keep, &polls, &deadline);
 *	...polls_wait()...
 *	keep_act(&keep, &polls, pid);      pid of ./run, or 0
 *	keep_died(&keep, by_signal);       once ./run has been reaped
 */

#include <sys/types.h>

#include "lib/keep.h"
#include "lib/polls.h"

#define KEEP_UNCLAIMED_MS 60000

struct keep {
	int listen_fd; /* -1: nothing can be kept */
	int conn_fd;   /* -1: nobody is here */
	int kept_fd;   /* -1: nothing is kept */
	char key[KEEP_MAX_BYTES];
	size_t key_len;
	bool claimed;          /* the process that runs has asked */
	int64_t drop_at_ms;    /* 0: not yet */
	int64_t deaf_until_ms; /* after an accept(2) that failed */
	size_t listen_no;
	size_t conn_no;
};

/* In the service's directory. Failing that it warns, and goes without. */
void keep_open(struct keep *keep, const char *dir);
void keep_prepare(struct keep *keep, struct polls *polls, int64_t *deadline);
void keep_act(struct keep *keep, const struct polls *polls, pid_t pid);
void keep_died(struct keep *keep, bool by_signal);
void keep_drop(struct keep *keep);

#endif
