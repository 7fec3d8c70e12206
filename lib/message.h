#ifndef LIB_MESSAGE_H
#define LIB_MESSAGE_H

/*
 * Reading a job's message through lib/in.h, wherever it lies.
 *
 *	struct message_reader reader;
 *
 *	message_start(&reader, job);
 *	while (in_chunk(&reader.in, &chunk) == IN_OK) ...
 *
 * A message that ends before its size is an IN_ERROR (EIO), never an end.
 */

#include "lib/in.h"
#include "lib/job.h"

struct message_reader {
	struct in in; /* first: found again from its address */
	const struct job *job;
	uint64_t offset;
	char space[16384];
};

void message_start(struct message_reader *reader, const struct job *job);

/*
 * Copy all of it to fd. 0; -1 with *reading saying on which side it failed,
 * and errno why.
 */
int message_copy(const struct job *job, int fd, bool *reading) MUST_USE;

/*
 * A memfd of all that can be read from fd, from its beginning where it can
 * be rewound; *size is how long it is. -1 with errno.
 */
int message_slurp(int fd, uint64_t *size) MUST_USE;

/*
 * Whether a line of the header is exactly `line` (without its LF): 1, 0, or
 * -1 with errno.
 */
int message_header_has(const struct job *job, struct view line) MUST_USE;

#endif
