#include "send/logged_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/durable.h"
#include "lib/memory.h"
#include "lib/out.h"
#include "send/send.h"

int logged_open_segment(struct send *s, uint64_t number)
{
	struct logged_segment *segment;
	struct str path = { 0 };

	if (number >= QLOG_SEGMENTS_MAX) {
		errno = EINVAL;
		return -1;
	}
	segment = &s->logged.segments[number];
	if (segment->fd != -1)
		return segment->fd;
	qlog_path(&path, number);
	segment->fd = openat(s->homefd, str_c(&path),
			     O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	str_free(&path);
	return segment->fd;
}

int logged_save_bad(struct send *s, struct view bytes, uint64_t segment,
		    uint64_t offset)
{
	struct str path = { 0 };
	int result = -1;
	int fd;

	str_appendf(&path, "queue/bad/log.%lu.%lu.%lu",
		    (unsigned long)clock_wall_s(), (unsigned long)segment,
		    (unsigned long)offset);
	fd = openat(s->homefd, str_c(&path),
		    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0660);
	if (fd != -1) {
		int error;

		result = write_all(fd, bytes) == 0 && durable_sync(fd) == 0
				 ? 0
				 : -1;
		error = errno;
		close(fd);
		errno = error;
	}
	if (result == 0)
		log_line(&s->log,
			 "alert: a record of queue/log/%lu is damaged; its "
			 "bytes are in %s",
			 (unsigned long)segment, str_c(&path));
	else
		log_errno(&s->log,
			  "alert: a record of queue/log/%lu is damaged and "
			  "cannot be saved to %s",
			  (unsigned long)segment, str_c(&path));
	str_free(&path);
	return result;
}

int logged_read_image(struct send *s, int fd, uint64_t offset, uint64_t length)
{
	struct str *image = &s->logged.image;

	str_reset(image);
	str_reserve(image, length);
	while (image->len < length) {
		ssize_t got =
			pread(fd, image->p + image->len, length - image->len,
			      (off_t)(qlog_image_at(offset) + image->len));

		if (got == -1 && errno == EINTR)
			continue;
		if (got == 0)
			errno = EIO;
		if (got <= 0)
			return -1;
		image->len += (size_t)got;
	}
	return 0;
}

/* ---- marks ---- */

void logged_count_released(struct logged *l, uint64_t segment, bool moved)
{
	l->segments[segment].released++;
	l->segments[segment].moved += moved;
}

static int write_mark(struct send *s, const struct logged_mark *mark)
{
	struct logged *l = &s->logged;

	if (qlog_mark(l->segments[mark->segment].fd, mark->offset,
		      QLOG_MOVED) == -1)
		return -1;
	if (mark->releases)
		logged_count_released(l, mark->segment, mark->moved);
	return 0;
}

static void keep_mark(struct logged *l, const struct logged_mark *mark)
{
	if (l->mark_count == l->mark_space) {
		l->mark_space = l->mark_space ? 2 * l->mark_space : 16;
		l->marks = memory_resize(l->marks, l->mark_space,
					 sizeof(*l->marks));
	}
	l->marks[l->mark_count++] = *mark;
}

bool logged_mark(struct send *s, const struct logged_mark *mark)
{
	struct logged *l = &s->logged;

	if (write_mark(s, mark) == 0)
		return true;
	log_errno(&s->log,
		  "warning: trouble marking a record of queue/log/%lu; will "
		  "try again later",
		  (unsigned long)mark->segment);
	if (l->mark_count == 0)
		l->mark_ms = clock_mono_ms() + LOGGED_MARK_MS;
	keep_mark(l, mark);
	return false;
}

bool logged_mark_again(struct send *s)
{
	struct logged *l = &s->logged;
	size_t left = 0;

	if (l->mark_count == 0)
		return true;
	for (size_t i = 0; i < l->mark_count; i++)
		if (write_mark(s, &l->marks[i]) == -1)
			l->marks[left++] = l->marks[i];
	l->mark_count = left;
	l->mark_ms = clock_mono_ms() + LOGGED_MARK_MS;
	if (left)
		return false;
	/* A replay may have waited for them. */
	l->replay_ms = 0;
	return true;
}

bool logged_lacks_mark(const struct logged *l, uint64_t segment,
		       uint64_t offset)
{
	for (size_t i = 0; i < l->mark_count; i++)
		if (l->marks[i].segment == segment &&
		    l->marks[i].offset == offset)
			return true;
	return false;
}
