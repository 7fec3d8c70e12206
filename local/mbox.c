#include "local/mbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/durable.h"
#include "lib/lock.h"
#include "lib/message.h"
#include "lib/out.h"

#define LOCK_WAIT_MS 30000
#define LOCK_PAUSE_NS 20000000L
#define FILE_MODE 0600

static const char from_[] = "From ";

static void quote_byte(struct mbox_quoter *q, char c, struct str *to)
{
	if (!q->in_line && q->matched == 0 && c == '>') {
		str_append_byte(to, c);
		q->quoted = true;
		return;
	}
	if (!q->in_line && c == from_[q->matched]) {
		if (++q->matched < sizeof(from_) - 1)
			return;
		str_append_byte(to, '>');
		str_append_c(to, from_);
	} else {
		str_append(to, view_make(from_, q->matched));
		str_append_byte(to, c);
	}
	q->matched = 0;
	q->quoted = false;
	q->in_line = c != '\n';
}

void mbox_quote(struct mbox_quoter *q, struct view piece, struct str *to)
{
	while (piece.len) {
		size_t at;

		/* Within a line nothing happens up to its end. */
		at = q->in_line ? view_find(piece, '\n') : 0;
		str_append(to, view_first(piece, at));
		piece = view_from(piece, at);
		if (piece.len == 0)
			break;
		quote_byte(q, piece.p[0], to);
		piece = view_from(piece, 1);
	}
}

void mbox_quote_end(struct mbox_quoter *q, struct str *to)
{
	bool partial = q->in_line || q->matched || q->quoted;

	str_append(to, view_make(from_, q->matched));
	if (partial)
		str_append_byte(to, '\n');
	str_append_byte(to, '\n');
	*q = (struct mbox_quoter){ 0 };
}

static int write_message(int fd, const struct job *job, struct str *space,
			 bool *reading)
{
	struct message_reader reader;
	struct mbox_quoter quoter = { 0 };
	enum in_result result;
	struct view chunk;

	message_start(&reader, job);
	while ((result = in_chunk(&reader.in, &chunk)) == IN_OK) {
		mbox_quote(&quoter, chunk, space);
		in_consume(&reader.in, chunk.len);
		if (write_all(fd, str_view(space)) == -1)
			return -1;
		str_reset(space);
	}
	*reading = result != IN_EOF;
	if (*reading)
		return -1;
	mbox_quote_end(&quoter, space);
	return write_all(fd, str_view(space));
}

static int append(int fd, const struct job *job,
		  const struct envelope *envelope, bool *reading)
{
	struct str space = { 0 };
	int result;

	*reading = false;
	str_append(&space, str_view(&envelope->ufline));
	str_append(&space, str_view(&envelope->rpline));
	str_append(&space, str_view(&envelope->dtline));
	result = write_all(fd, str_view(&space));
	str_reset(&space);
	if (result == 0)
		result = write_message(fd, job, &space, reading);
	if (result == 0)
		result = durable_sync(fd);
	str_free(&space);
	return result;
}

/* The name of a new file must be durable, too. */
static int sync_parent(const char *path)
{
	struct view v = view_of(path);
	size_t slash = view_find_last(v, '/');
	struct str dir = { 0 };
	int result;

	str_set(&dir, slash == v.len ? VIEW(".") : view_first(v, slash + 1));
	result = durable_sync_dir(AT_FDCWD, str_c(&dir));
	str_free(&dir);
	return result;
}

/* 0, or -1 with ETIMEDOUT when somebody has held it all the time. */
static int lock_with_limit(int fd)
{
	const struct timespec pause = { .tv_nsec = LOCK_PAUSE_NS };
	int64_t until = clock_mono_ms() + LOCK_WAIT_MS;

	while (lock_try(fd) == -1) {
		if (errno != EWOULDBLOCK)
			return -1;
		if (clock_mono_ms() > until) {
			errno = ETIMEDOUT;
			return -1;
		}
		nanosleep(&pause, NULL);
	}
	return 0;
}

static int deliver_to(struct verdict *v, int fd, const char *path,
		      const struct job *job, const struct envelope *envelope)
{
	bool reading = false;
	struct stat st;
	int error;

	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode))
		return verdict_defer(
			v, "Unable to open %s: it is no plain file. (#4.2.1)",
			path);
	if (lock_with_limit(fd) == -1) {
		if (errno == ETIMEDOUT)
			return verdict_defer(v, "File has been locked for 30 "
						"seconds straight. (#4.3.0)");
		return verdict_defer(v, "Unable to lock %s: %s. (#4.3.0)", path,
				     strerror(errno));
	}
	if (fstat(fd, &st) == -1)
		return verdict_defer(v, "Unable to read %s: %s. (#4.3.0)", path,
				     strerror(errno));
	if (append(fd, job, envelope, &reading) == 0 &&
	    (st.st_size || sync_parent(path) == 0))
		return 0;
	error = errno;
	if (ftruncate(fd, st.st_size) == -1)
		verdict_defer(v, "Unable to cut %s to %lld bytes: %s. (#4.3.0)",
			      path, (long long)st.st_size, strerror(errno));
	if (reading)
		return verdict_defer(v, "Unable to read message: %s. (#4.3.0)",
				     strerror(error));
	return verdict_defer(v, "Unable to write %s: %s. (#4.3.0)", path,
			     strerror(error));
}

int mbox_deliver(struct verdict *v, const char *path, const struct job *job,
		 const struct envelope *envelope)
{
	/* O_NONBLOCK: a FIFO without a reader must not hang us. */
	int fd = open(path,
		      O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK |
			      O_NOCTTY,
		      FILE_MODE);
	int result;

	if (fd == -1)
		return verdict_defer(v, "Unable to open %s: %s. (#4.2.1)", path,
				     strerror(errno));
	result = deliver_to(v, fd, path, job, envelope);
	if (close(fd) == -1 && result == 0)
		return verdict_defer(v, "Unable to write %s: %s. (#4.3.0)",
				     path, strerror(errno));
	return result;
}
