#include "lib/out.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/ready.h"

/*
 * Ready for some bytes does not mean ready for all of them, and a blocking
 * descriptor would wait for the peer as long as it likes.
 */
ssize_t write_some(int fd, const void *from, size_t size)
{
	ssize_t put = send(fd, from, size, MSG_DONTWAIT);

	if (put == -1 && errno == ENOTSOCK)
		put = write(fd, from, size < PIPE_BUF ? size : PIPE_BUF);
	return put;
}

static bool is_late(const struct out *out)
{
	return out->deadline_ms && clock_mono_ms() >= out->deadline_ms;
}

static ssize_t default_write(struct out *out, const void *from, size_t size)
{
	bool limited = out->timeout_ms >= 0 || out->deadline_ms;
	bool wait = limited;

	/* Mostly there is room, and a socket can say so at once. */
	if (limited && !is_late(out)) {
		ssize_t put = send(out->fd, from, size, MSG_DONTWAIT);

		if (put != -1 ||
		    (errno != EINTR && errno != EAGAIN && errno != ENOTSOCK))
			return put;
	}
	for (;;) {
		ssize_t put;

		if (wait && ready_wait(out->fd, POLLOUT, out->timeout_ms,
				       out->deadline_ms) == -1)
			return -1;
		put = limited ? write_some(out->fd, from, size)
			      : write(out->fd, from, size);
		if (put != -1 || (errno != EINTR && errno != EAGAIN))
			return put;
		wait = limited || errno == EAGAIN;
	}
}

void out_init(struct out *out, int fd, char *space, size_t size, int timeout_ms)
{
	*out = (struct out){
		.fd = fd,
		.space = space,
		.size = size,
		.timeout_ms = timeout_ms,
		.write = default_write,
	};
}

static int write_out(struct out *out, struct view v)
{
	while (v.len && !out->error) {
		ssize_t put = out->write(out, v.p, v.len);

		if (put == -1)
			out->error = errno ? errno : EIO;
		else if (put == 0)
			out->error = EIO;
		else
			v = view_from(v, (size_t)put);
	}
	if (out->error) {
		errno = out->error;
		return -1;
	}
	return 0;
}

int out_flush(struct out *out)
{
	struct view waiting = view_make(out->space, out->len);

	out->len = 0;
	return write_out(out, waiting);
}

int out_put(struct out *out, struct view v)
{
	if (out->error) {
		errno = out->error;
		return -1;
	}
	if (v.len > out->size - out->len && out_flush(out) == -1)
		return -1;
	if (v.len >= out->size)
		return write_out(out, v);
	if (v.len)
		memcpy(out->space + out->len, v.p, v.len);
	out->len += v.len;
	return 0;
}

int out_put_c(struct out *out, const char *c)
{
	return out_put(out, view_of(c));
}

int out_byte(struct out *out, char byte)
{
	return out_put(out, view_make(&byte, 1));
}

int out_u64(struct out *out, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + value % 10);
	while (value /= 10);
	return out_put(out, view_make(digits + at, sizeof(digits) - at));
}

int write_all(int fd, struct view v)
{
	while (v.len) {
		ssize_t put = write(fd, v.p, v.len);

		if (put == -1 && errno == EINTR)
			continue;
		if (put == 0)
			errno = EIO;
		if (put <= 0)
			return -1;
		v = view_from(v, (size_t)put);
	}
	return 0;
}
