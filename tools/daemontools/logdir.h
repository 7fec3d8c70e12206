#ifndef DAEMONTOOLS_LOGDIR_H
#define DAEMONTOOLS_LOGDIR_H

/*
 * An automatically rotated log: a directory in multilog's format.
 *
 *	lock        flock'ed while a multilog writes here
 *	current     mode 0644 while it is written, 0744 when it is complete
 *	@LABEL.s    full and safely on disk
 *	@LABEL.u    was being written when everything stopped
 *	previous    waits for the processor, or is being processed
 *	processed   the processor's descriptor 1; mode 0744 when complete
 *	newstate    its descriptor 5, which becomes
 *	state       its descriptor 4 the next time
 *
 * Writing never fails: on a full disk, or any other trouble, it says so on
 * descriptor 2, waits, and tries again, so that the caller (and whoever
 * feeds it) waits too. Nothing is allocated after logdir_open().
 */

#include <sys/types.h>

#include "lib/str.h"

#define LOGDIR_BUFFER_BYTES 16384

struct logdir {
	const char *path; /* for messages; borrowed */
	int dir_fd;
	int current_fd;
	uint32_t max_bytes;
	uint32_t max_files;
	const char *processor; /* borrowed; NULL without one */
	uint64_t bytes;        /* in current, those waiting included */
	size_t waiting;
	char *buffer;
	struct str old_name; /* kept, so that nothing is allocated later */
};

/*
 * Create it if need be, lock it, set aside what a crash has left, open
 * `current`. Dies with EXIT_RETRY if that fails.
 */
void logdir_open(struct logdir *log, const char *path, uint32_t max_bytes,
		 uint32_t max_files, const char *processor);

/*
 * Append. Files change behind a newline in the last 2000 bytes before
 * max_bytes, and at max_bytes. Call with whole lines or parts of one, with
 * at most one newline, at the end.
 */
void logdir_put(struct logdir *log, struct view part);

/* Hand what waits to the kernel. */
void logdir_flush(struct logdir *log);

/* Finish current now, unless it is empty. */
void logdir_rotate(struct logdir *log);

/* Everything to disk; current is complete. Frees. */
void logdir_close(struct logdir *log);

#endif
