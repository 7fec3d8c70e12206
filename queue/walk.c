#include "queue/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static void shard_path(struct walk *walk, uint64_t shard)
{
	str_set_c(&walk->path, "queue/");
	str_append_c(&walk->path, walk->folder);
	str_append_byte(&walk->path, '/');
	str_append_u64(&walk->path, shard);
}

static DIR *open_shard(struct walk *walk)
{
	DIR *dir;
	int fd;

	shard_path(walk, walk->shard);
	fd = openat(walk->homefd, str_c(&walk->path),
		    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		return NULL;
	dir = fdopendir(fd);
	if (!dir)
		close(fd);
	return dir;
}

/* The next name in the open shard that is an id; NULL with errno at the end. */
static const char *next_name(struct walk *walk)
{
	struct dirent *entry;

	do {
		errno = 0;
		entry = readdir(walk->dir);
	} while (entry && !view_u64(view_of(entry->d_name), &walk->id));
	return entry ? entry->d_name : NULL;
}

enum walk_result walk_next(struct walk *walk)
{
	for (;;) {
		const char *name;

		if (!walk->dir && walk->shard == walk->split)
			return WALK_END;
		if (!walk->dir) {
			walk->dir = open_shard(walk);
			if (!walk->dir)
				return WALK_ERROR;
			walk->shard++;
		}
		name = next_name(walk);
		if (name) {
			shard_path(walk, walk->shard - 1);
			str_append_byte(&walk->path, '/');
			str_append_c(&walk->path, name);
			return WALK_FOUND;
		}
		if (errno)
			return WALK_ERROR;
		closedir(walk->dir);
		walk->dir = NULL;
	}
}

void walk_close(struct walk *walk)
{
	if (walk->dir)
		closedir(walk->dir);
	walk->dir = NULL;
	str_free(&walk->path);
}
