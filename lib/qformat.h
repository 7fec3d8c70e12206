#ifndef LIB_QFORMAT_H
#define LIB_QFORMAT_H

/*
 * What a queue is (queue/format) and where its files lie. doc/queue.md.
 */

#include <stdint.h>
#include <sys/types.h>

#include "lib/str.h"

#define QFORMAT_VERSION 1
#define QFORMAT_IDENTITY_BYTES 32

enum qsync {
	QSYNC_POSIX,   /* sync the directory too */
	QSYNC_JOURNAL, /* one fsync covers data and name */
};

struct qformat {
	uint64_t split;
	enum qsync sync;
	bool files_only; /* control/queuelog forbids the log */
	char identity[QFORMAT_IDENTITY_BYTES + 1];
};

enum qformat_result {
	QFORMAT_OK,
	QFORMAT_ABSENT, /* no such file: no queue has been made here */
	QFORMAT_NEWER,  /* a version above ours */
	QFORMAT_ERROR,  /* unreadable (errno), or EINVAL: it makes no sense */
};

/*
 * homefd as in lib/home.h. control/queuesync and control/queuelog are taken
 * into account.
 */
enum qformat_result qformat_load(int homefd, struct qformat *format) MUST_USE;

/* Parse the text of queue/format alone (for the fuzzer and for load). */
enum qformat_result qformat_parse(struct view text,
				  struct qformat *format) MUST_USE;

/*
 * Append `queue/<folder>/<shard>/<id>`; path is overwritten. folder is one
 * of pid, new, mess, bounce.
 */
void qformat_path(const struct qformat *format, struct str *path,
		  const char *folder, uint64_t id);

/* Find out what sync mode a directory's file system allows. */
enum qsync qformat_probe_sync(int dirfd);
/* Does the ext4 on this device? false, too, where we may not look. */
bool qformat_ext4_allows(dev_t number);

/*
 * Make the folders of a queue and write queue/format with a new identity,
 * unless there is one. Owners are the caller's business (setup does that).
 */
int qformat_create(int homefd, uint64_t split) MUST_USE;

#endif
