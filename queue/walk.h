#ifndef QUEUE_WALK_H
#define QUEUE_WALK_H

/*
 * Every message of a folder of the queue, in no order.
 *
 *	struct walk walk = { .homefd = fd, .split = split, .folder = "mess" };
 *
 *	while ((result = walk_next(&walk)) == WALK_FOUND)
 *		...walk.id, str_c(&walk.path)
 *	walk_close(&walk);
 *
 * Messages come and go meanwhile: a path may be gone when it is opened.
 */

#include <dirent.h>
#include <stdint.h>

#include "lib/str.h"

enum walk_result {
	WALK_FOUND,
	WALK_END,
	WALK_ERROR, /* errno; path says where */
};

struct walk {
	int homefd;
	uint64_t split;
	const char *folder;
	uint64_t id;
	struct str path; /* below the home */
	uint64_t shard;  /* the next one to open */
	DIR *dir;        /* of the one before it */
};

enum walk_result walk_next(struct walk *walk) MUST_USE;
void walk_close(struct walk *walk);

#endif
