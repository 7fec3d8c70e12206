#include "lib/filemark.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

/* Clocks of file systems tick slowly, those of servers differ from ours. */
#define SETTLED_NS (INT64_C(2) * 1000 * 1000 * 1000)

static int64_t in_ns(struct timespec t)
{
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void take(struct filemark *mark, const struct stat *st)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	*mark = (struct filemark){
		.dev = st->st_dev,
		.ino = st->st_ino,
		.size = st->st_size,
		.mode = st->st_mode,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.modified_ns = in_ns(st->st_mtim),
		.changed_ns = in_ns(st->st_ctim),
		.looked_ns = in_ns(now),
	};
}

int filemark_look(struct filemark *mark, int dirfd, const char *path)
{
	struct stat st;

	*mark = (struct filemark){ 0 };
	if (fstatat(dirfd, path, &st, 0) == -1)
		return -1;
	take(mark, &st);
	return 0;
}

void filemark_of(struct filemark *mark, int fd)
{
	struct stat st;

	*mark = (struct filemark){ 0 };
	if (fstat(fd, &st) == 0)
		take(mark, &st);
}

bool filemark_same(const struct filemark *a, const struct filemark *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	       a->mode == b->mode && a->uid == b->uid && a->gid == b->gid &&
	       a->modified_ns == b->modified_ns &&
	       a->changed_ns == b->changed_ns;
}

bool filemark_is_settled(const struct filemark *mark)
{
	return mark->changed_ns < mark->looked_ns - SETTLED_NS;
}
