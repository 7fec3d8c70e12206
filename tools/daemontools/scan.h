#ifndef DAEMONTOOLS_SCAN_H
#define DAEMONTOOLS_SCAN_H

/*
 * The services of one directory, as svscan keeps them: which there are, the
 * supervise processes that watch them, and the pipe between a service and
 * its log.
 *
 * A service is known by device and inode, not by name: a directory may be
 * renamed. Its pipe lives as long as it does, so that what stands in it
 * survives the death of either side. What fails, for want of memory or
 * descriptors too, is reported and tried again at the next scan.
 */

#include <sys/types.h>

#include "lib/str.h"

#define SCAN_MAX_SERVICES 1000
#define SCAN_NAME_BYTES 256 /* with its NUL; longer names cannot exist */

enum scan_leaving {
	SCAN_STAYING,
	SCAN_WAITING,     /* its supervise is to be told, or has been */
	SCAN_LOG_WAITING, /* the service is down; its log reads to the end */
	SCAN_LEFT,
};

struct scan_service {
	dev_t dev;
	ino_t ino;
	char name[SCAN_NAME_BYTES];
	bool seen; /* by the scan that is going on */
	bool has_log;
	bool told;     /* exit, since the phase `leaving` began */
	bool log_down; /* the log was told to go down, not only to exit */
	enum scan_leaving leaving;
	int64_t log_until_ms; /* patience with the log ends */
	pid_t pid;            /* of supervise; 0: none of ours */
	pid_t log_pid;
	int pipe[2]; /* -1 without a log */
};

struct scan {
	struct scan_service *services;
	size_t count;
	bool warned_full;
};

void scan_init(struct scan *scan);
void scan_free(struct scan *scan);
/* Look at the working directory; start every supervise that is missing. */
void scan_look(struct scan *scan);
/* Reap whatever has died, orphans included. */
void scan_reap(struct scan *scan);
/*
 * One step of going down: tell services to exit, then, when they are down,
 * their logs. True when all have left; otherwise call again soon.
 */
bool scan_leave(struct scan *scan);

#endif
