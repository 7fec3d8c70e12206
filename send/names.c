#include "send/names.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/durable.h"

bool names_parse_id(const char *name, uint64_t *id)
{
	return name[0] != '0' && view_u64(view_of(name), id) &&
	       *id <= INT64_MAX;
}

static bool same_file(int homefd, const char *a, const char *b)
{
	struct stat x;
	struct stat y;

	return fstatat(homefd, a, &x, AT_SYMLINK_NOFOLLOW) == 0 &&
	       fstatat(homefd, b, &y, AT_SYMLINK_NOFOLLOW) == 0 &&
	       x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* For file systems that cannot rename without replacing. */
static int link_and_unlink(int homefd, const char *from, const char *to)
{
	if (linkat(homefd, from, homefd, to, 0) == -1) {
		if (errno != EEXIST)
			return -1;
		/* Did an earlier one die between its two steps? */
		if (!same_file(homefd, from, to)) {
			errno = EEXIST;
			return -1;
		}
	}
	return unlinkat(homefd, from, 0);
}

int names_move(int homefd, const char *from, const char *to)
{
	if (renameat2(homefd, from, homefd, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno == EINVAL)
		return link_and_unlink(homefd, from, to);
	return -1;
}

/* Sync the directory that a path leads through last. */
static int sync_parent(int homefd, const char *path)
{
	struct str parent = { 0 };
	int result;

	str_set_c(&parent, path);
	str_truncate(&parent, view_find_last(str_view(&parent), '/'));
	result = durable_sync_dir(homefd, str_c(&parent));
	str_free(&parent);
	return result;
}

int names_move_durably(int homefd, const char *from, const char *to)
{
	bool was_there = false;
	int error;

	if (linkat(homefd, from, homefd, to, 0) == -1) {
		if (errno != EEXIST)
			return -1;
		was_there = same_file(homefd, from, to);
		if (!was_there) {
			errno = EEXIST;
			return -1;
		}
	}
	if (sync_parent(homefd, to) == 0 && unlinkat(homefd, from, 0) == 0)
		return was_there;
	error = errno;
	if (!was_there)
		unlinkat(homefd, to, 0);
	errno = error;
	return -1;
}
