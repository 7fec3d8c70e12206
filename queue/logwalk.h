#ifndef QUEUE_LOGWALK_H
#define QUEUE_LOGWALK_H

/*
 * Every message of the queue's log that somebody waits for, in no order.
 *
 *	struct logwalk walk = { .homefd = fd };
 *
 *	while ((result = logwalk_next(&walk, &file)) == WALK_FOUND) {
 *		...
 *		qfile_close(&file);
 *	}
 *	logwalk_close(&walk);
 *
 * What does not check is passed over: it may be in the act of being written.
 */

#include "lib/qfile.h"
#include "lib/qlog.h"
#include "queue/walk.h"

struct logwalk {
	int homefd;
	uint64_t number; /* of the next segment */
	bool is_open;
	struct qlog_scan scan; /* of the one before it */
	struct str path;
};

/* ERROR with errno; path says where. */
enum walk_result logwalk_next(struct logwalk *walk,
			      struct qfile *file) MUST_USE;
void logwalk_close(struct logwalk *walk);

#endif
