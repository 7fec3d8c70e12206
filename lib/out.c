#include "lib/out.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "lib/clock.h"

static int wait_ms(const struct out *out)
{
	int64_t left;

	if (out->deadline_ms == 0)
		return out->timeout_ms;
	left = out->deadline_ms - clock_mono_ms();
	if (left < 0)
		left = 0;
	if (out->timeout_ms >= 0 && left > out->timeout_ms)
		return out->timeout_ms;
	return left > 1000000 ? 1000000 : (int)left;
}

static ssize_t default_write(struct out *out, const void *from, size_t size)
{
	for (;;) {
		struct pollfd ready = { .fd = out->fd, .events = POLLOUT };
		int wait = wait_ms(out);
		ssize_t put;

		if (wait >= 0) {
			int n = poll(&ready, 1, wait);

			if (n == 0) {
				errno = ETIMEDOUT;
				return -1;
			}
			if (n == -1 && errno == EINTR)
				continue;
			if (n == -1)
				return -1;
		}
		put = write(out->fd, from, size);
		if (put == -1 && (errno == EINTR || errno == EAGAIN))
			continue;
		return put;
	}
}

void out_init(struct out *out, int fd, char *space, size_t size,
	      int timeout_ms)
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
	if (v.len > out->size - out->len && out_flush(out) == -1)
		return -1;
	if (v.len >= out->size)
		return write_out(out, v);
	if (v.len)
		memcpy(out->space + out->len, v.p, v.len);
	out->len += v.len;
	return out->error ? -1 : 0;
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
		if (put == -1)
			return -1;
		v = view_from(v, (size_t)put);
	}
	return 0;
}
