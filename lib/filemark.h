#ifndef LIB_FILEMARK_H
#define LIB_FILEMARK_H

/*
 * Whether a file is still the one that was looked at: a program that may
 * have been replaced, a table whose content is kept in memory.
 *
 *	if (filemark_look(&now, dirfd, path) == 0 && my->is_loaded &&
 *	    filemark_is_settled(&my->mark) && filemark_same(&my->mark, &now))
 *		...what is in memory is true
 *
 * Look first and load then: a change between the two is seen the next time.
 */

#include <stdint.h>
#include <sys/types.h>

#include "lib/str.h"

struct filemark {
	dev_t dev;
	ino_t ino;
	off_t size;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	int64_t modified_ns;
	int64_t changed_ns;
	int64_t looked_ns; /* on the wall clock */
};

/* Links are followed. -1 with errno: the mark is then all zero. */
int filemark_look(struct filemark *mark, int dirfd, const char *path) MUST_USE;
/* The same of an open file; one that cannot be looked at is like no other. */
void filemark_of(struct filemark *mark, int fd);
bool filemark_same(const struct filemark *a, const struct filemark *b);
/*
 * False when the file was changed so shortly before we looked that another
 * change could have the same time.
 */
bool filemark_is_settled(const struct filemark *mark);

#endif
