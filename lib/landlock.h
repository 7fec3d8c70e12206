#ifndef LIB_LANDLOCK_H
#define LIB_LANDLOCK_H

/*
 * Landlock: give up the file system, but for what is listed. Needs no new
 * privileges set first. Descriptors that are open stay as they are; looking
 * at a path (stat, readlink) and connecting to Unix sockets stay allowed.
 *
 * The constants are ours, because the headers of the system that compiles
 * say nothing about the kernel that runs: that one is asked.
 */

#include "lib/str.h"

enum landlock_rights {
	LANDLOCK_READ = 1 << 0,   /* read files, list directories */
	LANDLOCK_WRITE = 1 << 1,  /* write, truncate, create, remove files */
	LANDLOCK_MOVE = 1 << 2,   /* between directories: needs version 2 */
	LANDLOCK_SOCKET = 1 << 3, /* create Unix sockets, remove them */
};

/* What lies at path, or below it. A path that is not there is no error. */
struct landlock_path {
	int dirfd;
	const char *path;
	unsigned rights;
};

enum landlock_result {
	LANDLOCK_OK,
	LANDLOCK_MISSING, /* the kernel has none, or one that is too old */
	LANDLOCK_ERROR,   /* errno */
};

/* tcp: sockets may be bound and connected. */
enum landlock_result landlock_apply(const struct landlock_path *paths,
				    size_t count, bool tcp) MUST_USE;

/* The version this kernel speaks, 0 for none. */
int landlock_version(void);

#endif
