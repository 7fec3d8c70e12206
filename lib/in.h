#ifndef LIB_IN_H
#define LIB_IN_H

/*
 * Buffered input from one descriptor, with a time limit.
 *
 *	char space[1024];
 *	struct in in;
 *
 *	in_init(&in, 0, space, sizeof(space), 300 * 1000);
 *	while (in_line(&in, &line, 512) == IN_OK)
 *		obey(str_view(&line));
 *
 * Ownership: `in` borrows the descriptor and the buffer. The caller keeps
 * both alive until the last call here, then closes and frees them.
 *
 * Time: each wait for bytes is limited by timeout_ms (-1: none), all of them
 * together by deadline_ms on the monotonic clock (0: none), so that a peer
 * that drips bytes loses too.
 *
 * Trust: the bytes are a stranger's. Nothing here exits or aborts because of
 * them; each surprise is a result the caller must look at.
 */

#include <sys/types.h>

#include "lib/str.h"

enum in_result {
	IN_OK,
	IN_TOO_LONG, /* the line was skipped to its end; reading may go on */
	IN_EOF,      /* the peer closed; an unfinished line is dropped */
	IN_TIMEOUT,  /* no byte came in time; stop using `in` */
	IN_ERROR,    /* read failed, errno says why; stop using `in` */
};

struct in {
	int fd;
	char *space;
	size_t size;
	size_t at;  /* next byte to give out */
	size_t end; /* end of the bytes that are there */
	int timeout_ms;
	int64_t deadline_ms;
	/*
	 * Set this after in_init() when nobody reads the descriptor after us:
	 * a socket is then told to wait in read(2) itself for a while, and no
	 * poll(2) comes before each. Others would be surprised by the limit.
	 */
	bool is_ours;
	int waits_itself; /* 0: not told yet; 1: it does so; -1: it cannot */
	/* Called when the buffer is empty and about to wait (flush output). */
	void (*before_wait)(void *arg);
	void *before_wait_arg;
	/* Replaceable; the default waits, then reads in->fd. */
	ssize_t (*read)(struct in *in, void *to, size_t size);
};

void in_init(struct in *in, int fd, char *space, size_t size, int timeout_ms);

/*
 * Read up to the next LF. On IN_OK, *line holds the line without its LF or
 * CRLF, at most max_bytes long; it may contain NULs. After any other result
 * *line is empty, except that IN_EOF leaves the unfinished last line there
 * (empty when there was none). *line stays the caller's to free.
 */
enum in_result in_line(struct in *in, struct str *line,
		       size_t max_bytes) MUST_USE;

/*
 * The same, but keeps exactly what stood before the LF: a CR stays.
 */
enum in_result in_line_raw(struct in *in, struct str *line,
			   size_t max_bytes) MUST_USE;

/*
 * Whatever is buffered, at least one byte, waiting if need be. *chunk points
 * into the buffer and is gone with the next call; say with in_consume() how
 * much of it was used.
 */
enum in_result in_chunk(struct in *in, struct view *chunk) MUST_USE;
void in_consume(struct in *in, size_t count);

/* Exactly `size` bytes; IN_EOF if fewer come. */
enum in_result in_exact(struct in *in, void *to, size_t size) MUST_USE;

/* How many bytes can be had without waiting, in the buffer. */
size_t in_buffered(const struct in *in);

#endif
