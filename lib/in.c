#include "lib/in.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "lib/clock.h"

/* What of timeout_ms is left before deadline_ms; 0 when it has passed. */
static int wait_ms(const struct in *in)
{
	int64_t left;

	if (in->deadline_ms == 0)
		return in->timeout_ms;
	left = in->deadline_ms - clock_mono_ms();
	if (left < 0)
		left = 0;
	if (in->timeout_ms >= 0 && left > in->timeout_ms)
		return in->timeout_ms;
	return left > 1000000 ? 1000000 : (int)left;
}

static ssize_t default_read(struct in *in, void *to, size_t size)
{
	for (;;) {
		struct pollfd ready = { .fd = in->fd, .events = POLLIN };
		int wait = wait_ms(in);
		ssize_t got;

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
		got = read(in->fd, to, size);
		if (got == -1 && (errno == EINTR || errno == EAGAIN))
			continue;
		return got;
	}
}

void in_init(struct in *in, int fd, char *space, size_t size, int timeout_ms)
{
	*in = (struct in){
		.fd = fd,
		.space = space,
		.size = size,
		.timeout_ms = timeout_ms,
		.read = default_read,
	};
}

static enum in_result fill(struct in *in)
{
	ssize_t got;

	if (in->before_wait)
		in->before_wait(in->before_wait_arg);
	in->at = in->end = 0;
	got = in->read(in, in->space, in->size);
	if (got == 0)
		return IN_EOF;
	if (got == -1)
		return errno == ETIMEDOUT ? IN_TIMEOUT : IN_ERROR;
	in->end = (size_t)got;
	return IN_OK;
}

enum in_result in_chunk(struct in *in, struct view *chunk)
{
	enum in_result result = IN_OK;

	if (in->at == in->end)
		result = fill(in);
	*chunk = view_make(in->space + in->at, in->end - in->at);
	return result;
}

void in_consume(struct in *in, size_t count)
{
	assert(count <= in->end - in->at);
	in->at += count;
}

size_t in_buffered(const struct in *in)
{
	return in->end - in->at;
}

enum in_result in_line_raw(struct in *in, struct str *line, size_t max_bytes)
{
	bool too_long = false;

	str_reset(line);
	for (;;) {
		struct view chunk;
		size_t at;
		enum in_result result = in_chunk(in, &chunk);

		if (result == IN_EOF && !too_long)
			return IN_EOF;
		if (result != IN_OK) {
			str_reset(line);
			return result;
		}
		at = view_find(chunk, '\n');
		if (at > max_bytes - line->len) {
			too_long = true;
			str_reset(line);
		}
		if (!too_long)
			str_append(line, view_first(chunk, at));
		in_consume(in, at < chunk.len ? at + 1 : at);
		if (at < chunk.len)
			return too_long ? IN_TOO_LONG : IN_OK;
	}
}

enum in_result in_line(struct in *in, struct str *line, size_t max_bytes)
{
	/* Room for the CR, which does not count. */
	enum in_result result = in_line_raw(in, line, max_bytes + 1);

	if (result != IN_OK)
		return result;
	if (line->len && line->p[line->len - 1] == '\r')
		str_truncate(line, line->len - 1);
	if (line->len > max_bytes) {
		str_reset(line);
		return IN_TOO_LONG;
	}
	return IN_OK;
}

enum in_result in_exact(struct in *in, void *to, size_t size)
{
	char *at = to;

	while (size) {
		struct view chunk;
		enum in_result result = in_chunk(in, &chunk);

		if (result != IN_OK)
			return result;
		chunk = view_first(chunk, size);
		memcpy(at, chunk.p, chunk.len);
		in_consume(in, chunk.len);
		at += chunk.len;
		size -= chunk.len;
	}
	return IN_OK;
}
