#include "queue/appender_parts.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/die.h"
#include "lib/record.h"

/* No segment is made where it would take more than this part of what is free. */
#define FREE_SHARE 8
/* After one that could not be made: that costs 4 MiB of writing. */
#define PREPARE_PAUSE_MS 10000

/* ---- segments ---- */

size_t appender_number(const struct appender *a, const struct segment *segment)
{
	return (size_t)(segment - a->segments);
}

int appender_open_segment(const struct appender *a, size_t number, int flags)
{
	struct str path = { 0 };
	int error;
	int fd;

	qlog_path(&path, number);
	fd = openat(a->homefd, str_c(&path),
		    flags | O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0660);
	error = errno;
	str_free(&path);
	errno = error;
	return fd;
}

void appender_drop(struct segment *segment, enum segment_phase phase)
{
	segment->phase = phase;
	if (segment->fd != -1)
		close(segment->fd);
	segment->fd = -1;
}

void appender_forbid(struct appender *a, struct segment *segment,
		     const char *why)
{
	warn("queue/log/%zu %s; it is not used", appender_number(a, segment),
	     why);
	segment->forbidden = true;
	appender_drop(segment, SEGMENT_NONE);
}

static bool has_space(int fd)
{
	struct statvfs fs;

	return fstatvfs(fd, &fs) == 0 &&
	       (uint64_t)fs.f_bavail * fs.f_frsize / FREE_SHARE >
		       QLOG_SEGMENT_BYTES;
}

static void prepared(struct commit *commit, int error)
{
	struct appender *a = commit->owner;
	struct segment *segment = &a->segments[a->preparing];

	a->is_preparing = false;
	if (error) {
		errno = error;
		warn_errno("cannot prepare queue/log/%zu", a->preparing);
		appender_drop(segment, SEGMENT_NONE);
		a->prepare_ms = clock_mono_ms() + PREPARE_PAUSE_MS;
		return;
	}
	segment->phase = SEGMENT_FREE;
}

void appender_prepare(struct appender *a)
{
	if (clock_mono_ms() < a->prepare_ms)
		return;
	for (size_t i = 0; i < QLOG_SEGMENTS_MAX && !a->is_preparing; i++) {
		struct segment *segment = &a->segments[i];

		if (segment->phase == SEGMENT_FREE)
			return;
		if (segment->phase != SEGMENT_NONE || segment->forbidden)
			continue;
		segment->fd = appender_open_segment(a, i, O_CREAT);
		if (segment->fd == -1 || !has_space(segment->fd)) {
			if (segment->fd != -1)
				close(segment->fd);
			segment->fd = -1;
			return;
		}
		segment->phase = SEGMENT_PREPARING;
		a->preparing = i;
		a->is_preparing = true;
		a->prepare = (struct commit){
			.kind = COMMIT_PREPARE,
			.fd = segment->fd,
			.done = prepared,
			.owner = a,
		};
		committers_submit(a->committers, &a->prepare);
	}
}

static int pwrite_all(int fd, struct iovec *parts, int count, uint64_t at)
{
	while (count) {
		ssize_t done = pwritev(fd, parts, count, (off_t)at);

		if (done == -1 && errno == EINTR)
			continue;
		if (done == -1)
			return -1;
		at += (uint64_t)done;
		while (count && (size_t)done >= parts->iov_len) {
			done -= (ssize_t)parts->iov_len;
			parts++;
			count--;
		}
		if (count) {
			parts->iov_base = (char *)parts->iov_base + done;
			parts->iov_len -= (size_t)done;
		}
	}
	return 0;
}

/* A new generation: whatever the segment held before is none any more. */
static int begin_segment(struct appender *a, struct segment *segment,
			 uint64_t latest_id)
{
	struct iovec header;

	if (latest_id > a->latest_id)
		a->latest_id = latest_id;
	str_reset(&a->space);
	qlog_format_header(&a->space, a->generation + 1, a->latest_id);
	header = (struct iovec){ a->space.p, a->space.len };
	if (pwrite_all(segment->fd, &header, 1, 0) == -1)
		return -1;
	segment->generation = ++a->generation;
	segment->used = QLOG_HEADER_BYTES;
	segment->live = 0;
	segment->phase = SEGMENT_FILLING;
	a->filling = segment;
	return 0;
}

static struct segment *find_free(struct appender *a)
{
	for (size_t i = 0; i < QLOG_SEGMENTS_MAX; i++)
		if (a->segments[i].phase == SEGMENT_FREE)
			return &a->segments[i];
	return NULL;
}

/* Nobody needs its records. After an error it is not trusted again. */
static void set_free(struct appender *a, struct segment *segment)
{
	struct str path = { 0 };

	segment->phase = SEGMENT_FREE;
	if (!segment->broken)
		return;
	qlog_path(&path, appender_number(a, segment));
	if (unlinkat(a->homefd, str_c(&path), 0) == -1 && errno != ENOENT)
		warn_errno("cannot remove %s", str_c(&path));
	str_free(&path);
	appender_forbid(a, segment, "had an error");
}

/* It is full, or must not be filled any more. */
static void end_filling(struct appender *a)
{
	struct segment *segment = a->filling;

	a->filling = NULL;
	segment->phase = SEGMENT_FULL;
	if (segment->live == 0)
		set_free(a, segment);
}

static bool has_room(const struct segment *segment, uint64_t length)
{
	return qlog_next(segment->used, length) <= QLOG_SEGMENT_BYTES;
}

static struct segment *segment_for(struct appender *a, uint64_t length,
				   uint64_t id)
{
	struct segment *next;

	if (a->filling && has_room(a->filling, length))
		return a->filling;
	next = find_free(a);
	if (next && a->filling)
		end_filling(a);
	if (next && begin_segment(a, next, id) == -1) {
		warn_errno("cannot write queue/log/%zu",
			   appender_number(a, next));
		next->broken = true;
		set_free(a, next);
		next = NULL;
	}
	appender_prepare(a);
	return next;
}

/* ---- syncing ---- */

static void cancel(struct appender *a, const struct append *append)
{
	struct segment *segment = &a->segments[append->segment];

	if (qlog_mark(segment->fd, append->offset, QLOG_CANCELLED) == -1)
		warn_errno("cannot cancel a record of queue/log/%llu",
			   (unsigned long long)append->segment);
	appender_release(a, append->segment, 1);
}

static void synced(struct commit *commit, int error)
{
	struct appender *a = (struct appender *)commit;
	struct append *append = a->syncing;

	a->is_syncing = false;
	a->syncing = NULL;
	if (error) {
		struct segment *segment = &a->segments[append->segment];

		errno = error;
		warn_errno("cannot sync queue/log/%llu",
			   (unsigned long long)append->segment);
		segment->broken = true;
		if (a->filling == segment)
			end_filling(a);
	}
	while (append) {
		struct append *next = append->next;

		if (error)
			cancel(a, append);
		append->done(append, error);
		append = next;
	}
}

/* Everything that waits, as far as it is in one segment. */
void appender_flush(struct appender *a)
{
	struct append *last = a->first;

	if (a->is_syncing || !last)
		return;
	while (last->next && last->next->segment == last->segment)
		last = last->next;
	a->syncing = a->first;
	a->first = last->next;
	if (!a->first)
		a->last = NULL;
	last->next = NULL;
	a->is_syncing = true;
	a->sync = (struct commit){
		.kind = COMMIT_LOG,
		.fd = a->segments[a->syncing->segment].fd,
		.done = synced,
	};
	committers_submit(a->committers, &a->sync);
}

static void wait_for_sync(struct appender *a, struct append *append)
{
	append->next = NULL;
	if (a->last)
		a->last->next = append;
	else
		a->first = append;
	a->last = append;
}

/* ---- appending ---- */

static int write_record(struct appender *a, struct segment *segment,
			struct view image)
{
	struct iovec parts[2];

	str_reset(&a->space);
	qlog_format_head(&a->space, segment->generation, segment->used,
			 image.len);
	parts[0] = (struct iovec){ a->space.p, a->space.len };
	parts[1] = (struct iovec){ (void *)(uintptr_t)image.p, image.len };
	return pwrite_all(segment->fd, parts, COUNT_OF(parts), segment->used);
}

int appender_append(struct appender *a, struct view image, uint64_t id,
		    struct append *append)
{
	struct segment *segment;

	assert(image.len <= QLOG_IMAGE_MAX);
	segment = segment_for(a, image.len, id);
	if (!segment)
		return -1;
	if (write_record(a, segment, image) == -1) {
		warn_errno("cannot write queue/log/%zu",
			   appender_number(a, segment));
		segment->broken = true;
		end_filling(a);
		return -1;
	}
	append->segment = appender_number(a, segment);
	append->offset = segment->used;
	append->length = image.len;
	segment->used = qlog_next(segment->used, image.len);
	segment->live++;
	wait_for_sync(a, append);
	return 0;
}

/* ---- what the taker says ---- */

void appender_release(struct appender *a, uint64_t number, uint64_t count)
{
	struct segment *segment;

	if (number >= QLOG_SEGMENTS_MAX)
		return;
	segment = &a->segments[number];
	/* More than there are would be nonsense, and must not free it. */
	if (count > segment->live)
		return;
	segment->live -= count;
	if (segment->phase == SEGMENT_FULL && segment->live == 0)
		set_free(a, segment);
}

void appender_replayed(struct appender *a, uint64_t number)
{
	if (number < QLOG_SEGMENTS_MAX &&
	    a->segments[number].phase == SEGMENT_STALE)
		set_free(a, &a->segments[number]);
}

void appender_abandon(struct appender *a)
{
	for (size_t i = 0; i < QLOG_SEGMENTS_MAX; i++) {
		struct segment *segment = &a->segments[i];

		if (segment->live == 0 || (segment->phase != SEGMENT_FILLING &&
					   segment->phase != SEGMENT_FULL))
			continue;
		if (a->filling == segment)
			a->filling = NULL;
		segment->phase = SEGMENT_STALE;
		segment->live = 0;
	}
}

bool appender_is_idle(const struct appender *a)
{
	return !a->is_syncing && !a->first && !a->is_preparing;
}

void appender_close(struct appender *a)
{
	assert(!a->is_syncing && !a->is_preparing && !a->first);
	for (size_t i = 0; i < QLOG_SEGMENTS_MAX; i++)
		if (a->segments[i].fd != -1)
			close(a->segments[i].fd);
	str_free(&a->space);
}
