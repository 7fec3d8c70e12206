#include "send/names.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

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
