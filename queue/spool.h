#ifndef QUEUE_SPOOL_H
#define QUEUE_SPOOL_H

/*
 * A message's way into the queue, up to its fsync (doc/queue.md, Accepting).
 *
 *	spool_create(&spool, &file);          pid/<shard>/<id>
 *	qfile_write_...(&file.writer, ...);
 *	spool_publish(&spool, &file);         locked, then in new/
 *	...fsync by a committer...
 *	spool_accept(&file);                  unlocked: qmail-send may have it
 *
 * or, at any point before spool_accept(), spool_remove(): then nothing is
 * left. All functions that return int give -1 with errno.
 */

#include <stdint.h>

#include "lib/qfile.h"
#include "lib/qformat.h"

struct spool {
	int homefd;
	struct qformat format;
	int queuefd; /* queue/, for its free space; -1: not open yet */
	uint64_t last_id;
};

struct spool_file {
	uint64_t id;
	bool exists;    /* there is a file to remove */
	bool published; /* it lies in new/ */
	struct qfile_writer writer;
};

void spool_init(struct spool *spool, int homefd, const struct qformat *format);
/* Remove what a predecessor left in pid/. */
int spool_empty_pid(const struct spool *spool) MUST_USE;
/* Is there space for another message? ENOSPC when there is not. */
int spool_check_space(struct spool *spool) MUST_USE;

/*
 * Without a file for now: what is written stays in file->writer.buffer, until
 * spool_create(), which may come at any time before spool_publish().
 */
void spool_begin(struct spool_file *file);
int spool_create(struct spool *spool, struct spool_file *file) MUST_USE;
/*
 * An id for a message that becomes no file; 0 when the clock is behind ids
 * given before: then only a file can tell which are free.
 */
uint64_t spool_id(struct spool *spool);
int spool_publish(struct spool *spool, struct spool_file *file) MUST_USE;
void spool_accept(struct spool_file *file);
/* Also for a file that was never created. */
void spool_remove(const struct spool *spool, struct spool_file *file);

#endif
