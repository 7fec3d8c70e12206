#ifndef LIB_OUT_H
#define LIB_OUT_H

/*
 * Buffered output to one descriptor, with a time limit.
 *
 *	out_init(&out, 1, space, sizeof(space), 300 * 1000);
 *	out_put(&out, VIEW("250 ok\r\n"));
 *	if (out_flush(&out) == -1)
 *		return false;
 *
 * The first failure sticks: later calls write nothing and return -1 with the
 * same errno (ETIMEDOUT when the peer did not take bytes in time), so a
 * caller may put many pieces and look once, at out_flush().
 *
 * Ownership: `out` borrows the descriptor and the buffer.
 */

#include <sys/types.h>

#include "lib/str.h"

struct out {
	int fd;
	char *space;
	size_t size;
	size_t len; /* bytes waiting in space */
	int timeout_ms;
	int64_t deadline_ms; /* as in lib/in.h */
	int error;           /* errno of the first failure, 0 so far */
	/* Replaceable; the default polls, then writes out->fd. */
	ssize_t (*write)(struct out *out, const void *from, size_t size);
};

void out_init(struct out *out, int fd, char *space, size_t size,
	      int timeout_ms);
int out_put(struct out *out, struct view v);
int out_put_c(struct out *out, const char *c);
int out_byte(struct out *out, char byte);
int out_u64(struct out *out, uint64_t value);
int out_flush(struct out *out) MUST_USE;

/* One write(2) that does not wait, where poll(2) has said that fd is ready. */
ssize_t write_some(int fd, const void *from, size_t size);

/* write(2) everything, through EINTR and short writes; -1 with errno. */
int write_all(int fd, struct view v) MUST_USE;

#endif
