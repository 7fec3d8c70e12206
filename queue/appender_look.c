#include "queue/appender_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/clock.h"
#include "lib/die.h"
#include "lib/polls.h"

static void read_header(struct appender *a, struct segment *segment,
			const struct stat *st)
{
	uint64_t latest_id = 0;

	switch (qlog_read_header(segment->fd, &segment->generation,
				 &latest_id)) {
	case QLOG_OK:
		segment->phase = SEGMENT_STALE;
		break;
	case QLOG_BLANK:
		/* Only a whole one may be written over without a thought. */
		if (st->st_size == (off_t)QLOG_SEGMENT_BYTES)
			segment->phase = SEGMENT_FREE;
		else
			appender_drop(segment, SEGMENT_NONE);
		break;
	case QLOG_NEWER:
		appender_forbid(a, segment, "has a later format");
		return;
	case QLOG_BAD:
		/* qmail-send reads what it can of it and says so. */
		segment->phase = SEGMENT_STALE;
		segment->broken = true;
		break;
	case QLOG_ERROR:
		appender_drop(segment, SEGMENT_UNKNOWN);
		return;
	}
	if (segment->generation > a->generation)
		a->generation = segment->generation;
	if (latest_id > a->latest_id)
		a->latest_id = latest_id;
}

/* What an earlier qmail-queued has left behind. */
static void look_at(struct appender *a, struct segment *segment)
{
	struct stat st;

	segment->fd = appender_open_segment(a, appender_number(a, segment), 0);
	if (segment->fd == -1 && errno == ENOENT)
		segment->phase = SEGMENT_NONE;
	else if (segment->fd == -1 && (errno == EACCES || errno == ELOOP))
		appender_forbid(a, segment, "cannot be opened");
	else if (segment->fd == -1 || fstat(segment->fd, &st) == -1)
		appender_drop(segment, SEGMENT_UNKNOWN);
	else if (!S_ISREG(st.st_mode))
		appender_forbid(a, segment, "is no file");
	else
		read_header(a, segment, &st);
}

void appender_open(struct appender *a, int homefd,
		   struct committers *committers)
{
	*a = (struct appender){
		.homefd = homefd,
		.committers = committers,
		.unknown = QLOG_SEGMENTS_MAX,
	};
	for (size_t i = 0; i < QLOG_SEGMENTS_MAX; i++)
		a->segments[i] = (struct segment){
			.fd = -1,
			.phase = SEGMENT_UNKNOWN,
		};
}

/* -1: what is there cannot be told now. */
static int look_at_folder(struct appender *a)
{
	struct stat st;

	a->has_folder =
		fstatat(a->homefd, QLOG_FOLDER, &st, AT_SYMLINK_NOFOLLOW) == 0;
	if (!a->has_folder && errno != ENOENT)
		return -1;
	if (!a->has_folder)
		warn_errno("cannot use " QLOG_FOLDER);
	a->knows_folder = true;
	return 0;
}

/* -1 with errno: not all of it could be seen. */
static int look_at_all(struct appender *a, uint32_t *stale)
{
	int error = 0;

	if (!a->knows_folder && look_at_folder(a) == -1)
		return -1;
	a->unknown = 0;
	for (size_t i = 0; i < QLOG_SEGMENTS_MAX && a->has_folder; i++) {
		struct segment *segment = &a->segments[i];

		if (segment->phase != SEGMENT_UNKNOWN)
			continue;
		look_at(a, segment);
		if (segment->phase == SEGMENT_UNKNOWN) {
			error = errno;
			a->unknown++;
		}
		if (segment->phase == SEGMENT_STALE)
			*stale |= UINT32_C(1) << i;
	}
	errno = error;
	return a->unknown ? -1 : 0;
}

uint32_t appender_look(struct appender *a)
{
	uint32_t stale = 0;

	if (a->unknown == 0 || clock_mono_ms() < a->look_ms)
		return 0;
	if (look_at_all(a, &stale) == 0)
		return stale;
	if (!a->complained)
		warn_errno("cannot look at all of " QLOG_FOLDER
			   ", trying again");
	a->complained = true;
	a->look_ms = clock_mono_ms() + APPENDER_PAUSE_MS;
	return stale;
}

void appender_until(const struct appender *a, int64_t *deadline)
{
	if (a->unknown)
		polls_until(deadline, a->look_ms);
}

bool appender_is_usable(const struct appender *a)
{
	return a->has_folder && a->unknown == 0;
}
