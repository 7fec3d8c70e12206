#include "lib/in.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/ready.h"

/* So long a socket waits in read(2); what is left then is polled for. */
#define KERNEL_WAIT_MS 10000

static bool can_wait_itself(struct in *in)
{
	const struct timeval limit = { .tv_sec = KERNEL_WAIT_MS / 1000 };

	if (in->is_ours && in->waits_itself == 0)
		in->waits_itself = setsockopt(in->fd, SOL_SOCKET, SO_RCVTIMEO,
					      &limit, sizeof(limit)) == 0
					   ? 1
					   : -1;
	return in->waits_itself == 1;
}

/* When the nearer of the two limits is reached; 0: never. */
static int64_t end_of_wait(const struct in *in)
{
	int64_t end = in->deadline_ms;

	if (in->timeout_ms >= 0) {
		int64_t idle_end = clock_mono_ms() + in->timeout_ms;

		if (end == 0 || idle_end < end)
			end = idle_end;
	}
	return end;
}

static ssize_t default_read(struct in *in, void *to, size_t size)
{
	int64_t end = end_of_wait(in);
	bool wait = end != 0;

	for (;;) {
		ssize_t got;

		/* With much time left one call waits and reads. */
		if (wait && end - clock_mono_ms() > KERNEL_WAIT_MS &&
		    can_wait_itself(in)) {
			got = read(in->fd, to, size);
			if (got != -1 || (errno != EINTR && errno != EAGAIN))
				return got;
		}
		if (wait && ready_wait(in->fd, POLLIN, -1, end) == -1)
			return -1;
		got = read(in->fd, to, size);
		if (got != -1 || (errno != EINTR && errno != EAGAIN))
			return got;
		/* Without a limit, on a descriptor that does not block. */
		if (end == 0 && errno == EAGAIN &&
		    ready_wait(in->fd, POLLIN, -1, 0) == -1)
			return -1;
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
