#ifndef LIB_DURABLE_H
#define LIB_DURABLE_H

/*
 * Making files durable, in the few orders that the house uses.
 *
 * A file that takes another's place (control files, cdb, vpasswd):
 *
 *	struct durable file;
 *
 *	if (durable_begin(&file, dirfd, "assign", 0644) == -1) ...
 *	write_all(file.fd, ...)
 *	if (durable_commit(&file) == -1) ...     fsync, rename, fsync(dir)
 *
 * Whatever goes wrong before the rename leaves the old file as it was, and
 * the temporary one removed. A failed fsync is never tried again: the kernel
 * has marked the pages clean by then.
 *
 * Queue files and Maildir messages have orders of their own, in lib/qfile.h
 * and lib/maildir.h; both call durable_sync().
 */

#include <sys/types.h>

#include "lib/str.h"

struct durable {
	int fd; /* write here */
	int dirfd;
	struct str path; /* the final name */
	struct str temp;
};

/* path is relative to dirfd, which is borrowed until commit or abort. */
int durable_begin(struct durable *file, int dirfd, const char *path,
		  mode_t mode) MUST_USE;
/*
 * The same with a temporary name that others know (`assign.tmp`). Writers
 * that use the same one wait for each other.
 */
int durable_begin_temp(struct durable *file, int dirfd, const char *path,
		       const char *temp, mode_t mode) MUST_USE;
int durable_commit(struct durable *file) MUST_USE;
void durable_abort(struct durable *file); /* keeps errno */

/* fsync through EINTR. -1 with errno; do not repeat. */
int durable_sync(int fd) MUST_USE;
/* fdatasync: for a file whose size and place on the disk do not change. */
int durable_sync_data(int fd) MUST_USE;
/* fsync the directory `path` below dirfd ("." for dirfd itself). */
int durable_sync_dir(int dirfd, const char *path) MUST_USE;
/* begin, write, commit: the whole content at once. */
int durable_replace(int dirfd, const char *path, struct view content,
		    mode_t mode) MUST_USE;

#endif
