#ifndef LIB_CDBMAP_H
#define LIB_CDBMAP_H

/*
 * Constant databases: cdb files as tinycdb and cdb-0.75 write them.
 *
 * Reading uses pread/read only, never a map: a file that shrinks under us
 * must not kill. A damaged file is an ERROR, never "not found": each slot
 * that a search passes is compared with its record's key. Values are
 * protected by nothing.
 *
 * Writing replaces the whole file durably (lib/durable.h).
 */

#include <sys/types.h>

#include "lib/str.h"

enum cdbmap_result {
	CDBMAP_FOUND,
	CDBMAP_MISSING, /* the file is sound and holds no such key */
	CDBMAP_ERROR,   /* errno; EPROTO for a damaged file */
};

#define CDBMAP_TABLES 256

struct cdbmap_table {
	uint32_t at;
	uint32_t slots;
};

struct cdbmap {
	int fd;           /* -1 when closed or loaded; close-on-exec */
	struct str bytes; /* the file, when it was loaded */
	uint32_t size;
	uint32_t records_end;
	struct cdbmap_table tables[CDBMAP_TABLES]; /* checked at open */
};

/* 0, or -1 with errno (ENOENT: no such file). Checks size and header. */
int cdbmap_open(struct cdbmap *map, int dirfd, const char *path) MUST_USE;
void cdbmap_close(struct cdbmap *map);

/*
 * Have all of it in memory and close the file. False, and the map is used as
 * before, when it is longer than max_bytes or cannot be read.
 */
bool cdbmap_load(struct cdbmap *map, size_t max_bytes);

/* The first value stored under key; *value is overwritten. */
enum cdbmap_result cdbmap_find(struct cdbmap *map, struct view key,
			       struct str *value) MUST_USE;

/*
 * Every record in file order. Start with *at = 0; CDBMAP_MISSING is the end.
 */
enum cdbmap_result cdbmap_next(struct cdbmap *map, uint32_t *at,
			       struct str *key, struct str *value) MUST_USE;

/* A new file: begin, add as often as needed, commit (or abort). */
struct cdbmap_writer;

/*
 * path and temp lie below dirfd; temp NULL means one made from path. The
 * new file has this mode. NULL with errno.
 */
struct cdbmap_writer *cdbmap_write_begin(int dirfd, const char *path,
					 const char *temp,
					 mode_t mode) MUST_USE;
/* EFBIG when the file would pass 4 GiB. */
int cdbmap_write_add(struct cdbmap_writer *writer, struct view key,
		     struct view value) MUST_USE;
/* Both free the writer. After a failed commit the old file still stands. */
int cdbmap_write_commit(struct cdbmap_writer *writer) MUST_USE;
void cdbmap_write_abort(struct cdbmap_writer *writer);

#endif
