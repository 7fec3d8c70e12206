/*
 * A cdb file of any bytes: looking up and walking must end, with values that
 * fit into the file. Keys that the walk gives are looked up too.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/cdbmap.h"
#include "lib/out.h"
#include "tests/fuzz/fuzz.h"

static void look_up(struct cdbmap *map, struct view key, size_t size)
{
	struct str value = { 0 };

	switch (cdbmap_find(map, key, &value)) {
	case CDBMAP_FOUND:
		assert(value.len <= size);
		break;
	case CDBMAP_MISSING:
		assert(value.len == 0);
		break;
	case CDBMAP_ERROR:
		assert(value.len == 0 && errno == EPROTO);
		break;
	}
	str_free(&value);
}

static void walk(struct cdbmap *map, size_t size)
{
	struct str key = { 0 };
	struct str value = { 0 };
	uint32_t at = 0;
	size_t count = 0;

	while (cdbmap_next(map, &at, &key, &value) == CDBMAP_FOUND) {
		assert(at <= size && key.len + value.len <= size);
		assert(++count <= size / 8);
		if (count < 20)
			look_up(map, str_view(&key), size);
	}
	assert(key.len == 0 && value.len == 0);
	str_free(&key);
	str_free(&value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	struct cdbmap map;
	char path[64];

	assert(fd != -1);
	assert(write_all(fd, view_make(data, size)) == 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (cdbmap_open(&map, AT_FDCWD, path) == 0) {
		look_up(&map, VIEW(""), size);
		look_up(&map, VIEW("!alice-example"), size);
		walk(&map, size);
		assert(!cdbmap_load(&map, size - 1));
		assert(cdbmap_load(&map, size));
		look_up(&map, VIEW(""), size);
		look_up(&map, VIEW("!alice-example"), size);
		walk(&map, size);
		cdbmap_close(&map);
	} else {
		assert(errno == EPROTO && map.fd == -1);
	}
	close(fd);
	return 0;
}
