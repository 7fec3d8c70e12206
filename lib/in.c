#include "lib/in.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "lib/ready.h"

static ssize_t default_read(struct in *in, void *to, size_t size)
{
	bool limited = in->timeout_ms >= 0 || in->deadline_ms;
	bool wait = limited;

	for (;;) {
		ssize_t got;

		if (wait && ready_wait(in->fd, POLLIN, in->timeout_ms,
				       in->deadline_ms) == -1)
			return -1;
		got = read(in->fd, to, size);
		if (got != -1 || (errno != EINTR && errno != EAGAIN))
			return got;
		wait = limited || errno == EAGAIN;
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
	size_t with_cr = max_bytes < SIZE_MAX ? max_bytes + 1 : max_bytes;
	enum in_result result = in_line_raw(in, line, with_cr);

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
