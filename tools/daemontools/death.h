#ifndef DAEMONTOOLS_DEATH_H
#define DAEMONTOOLS_DEATH_H

/*
 * How a service ended last: supervise/death, a file of its own, because
 * others read the 18 bytes of supervise/status. It is one line:
 *
 *	exit 111     the exit code
 *	signal 15    the signal that killed it
 *
 * supervise replaces it, by rename, before the status that says that the
 * service is down, and removes it when it begins: a death that it has not seen
 * may be of another year.
 */

#include "tools/daemontools/service.h"

#define DEATH_MAX_BYTES 32

enum death_kind {
	DEATH_UNKNOWN, /* no file, or one that means nothing */
	DEATH_EXIT,
	DEATH_SIGNAL,
};

struct death {
	enum death_kind kind;
	unsigned number; /* the exit code, or the signal */
};

/* In the working directory, from what wait(2) said. -1 with errno. */
int death_write(int wait_status) MUST_USE;
/* It is no failure if there is none. -1 with errno. */
int death_forget(void) MUST_USE;

/* Of the service in the directory dirfd. */
struct death death_read(int dirfd);
struct death death_parse(struct view text);

#endif
