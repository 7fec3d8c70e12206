#include "queue/logwalk.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* False with errno 0: there is nothing to read in it. */
static bool open_next(struct logwalk *walk)
{
	enum qlog_result result;
	int fd;

	qlog_path(&walk->path, walk->number++);
	fd = openat(walk->homefd, str_c(&walk->path),
		    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd == -1) {
		if (errno == ENOENT)
			errno = 0;
		return false;
	}
	result = qlog_scan_open(&walk->scan, fd);
	close(fd);
	walk->is_open = result == QLOG_OK;
	if (!walk->is_open)
		qlog_scan_close(&walk->scan);
	if (result != QLOG_ERROR)
		errno = 0;
	return walk->is_open;
}

static bool next_in_segment(struct logwalk *walk, struct qfile *file)
{
	struct qlog_head head;
	struct view image;

	while (qlog_scan_next(&walk->scan, &head, &image)) {
		if (head.state != QLOG_LIVE ||
		    qfile_parse(file, image) != QFILE_OK)
			continue;
		if (!qfile_is_delivered(file))
			return true;
		qfile_close(file);
	}
	return false;
}

enum walk_result logwalk_next(struct logwalk *walk, struct qfile *file)
{
	for (;;) {
		if (walk->is_open && next_in_segment(walk, file))
			return WALK_FOUND;
		qlog_scan_close(&walk->scan);
		walk->is_open = false;
		if (walk->number == QLOG_SEGMENTS_MAX)
			return WALK_END;
		if (!open_next(walk) && errno)
			return WALK_ERROR;
	}
}

void logwalk_close(struct logwalk *walk)
{
	qlog_scan_close(&walk->scan);
	str_free(&walk->path);
}
