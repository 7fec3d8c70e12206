#include "lib/cdbmap.h"

#include <cdb.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/durable.h"

/*
 * The file: 256 table heads (position, slots), the records (key length,
 * value length, key, value), then the tables, whose slots are (hash,
 * position of the record); position 0 is a free slot. Numbers are 32 bits,
 * little-endian. Table h & 255 is searched from slot (h >> 8) % slots on.
 */
#define HEAD_BYTES 2048
#define SLOT_BYTES 8
#define SLOTS_AT_ONCE 64
#define HASH_START 5381

static uint32_t le32(const unsigned char *b)
{
	return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
	       (uint32_t)b[3] << 24;
}

static int damaged(void)
{
	errno = EPROTO;
	return -1;
}

/* Exactly size bytes at `at`; a file that ends before them is damaged. */
static int read_at(const struct cdbmap *map, void *to, size_t size, uint64_t at)
{
	char *next = to;

	if (map->bytes.len) {
		if (at > map->bytes.len || size > map->bytes.len - at)
			return damaged();
		if (size)
			memcpy(to, map->bytes.p + at, size);
		return 0;
	}
	while (size) {
		ssize_t got = pread(map->fd, next, size, (off_t)at);

		if (got == -1 && errno == EINTR)
			continue;
		if (got == -1)
			return -1;
		if (got == 0)
			return damaged();
		next += got;
		at += (uint64_t)got;
		size -= (size_t)got;
	}
	return 0;
}

/*
 * Take over the table heads. The records end where the first table begins;
 * table follows table up to the end of the file, as all that write such files
 * have it: so one wrong bit of a head is seen.
 */
static int check_head(struct cdbmap *map, const unsigned char *head,
		      uint64_t size)
{
	uint64_t records_end = HEAD_BYTES;
	uint64_t end = 0; /* of the tables so far */

	for (size_t i = 0; i < CDBMAP_TABLES; i++) {
		uint64_t at = le32(head + 8 * i);
		uint64_t slots = le32(head + 8 * i + 4);

		map->tables[i].at = (uint32_t)at;
		map->tables[i].slots = (uint32_t)slots;
		if (slots == 0)
			continue;
		if (at < HEAD_BYTES || (end && at != end))
			return damaged();
		if (!end)
			records_end = at;
		end = at + slots * SLOT_BYTES;
	}
	if (size != (end ? end : HEAD_BYTES))
		return damaged();
	map->records_end = (uint32_t)records_end;
	return 0;
}

static int load_head(struct cdbmap *map)
{
	unsigned char head[HEAD_BYTES];
	struct stat st;

	if (fstat(map->fd, &st) == -1)
		return -1;
	if (S_ISDIR(st.st_mode)) {
		errno = EISDIR;
		return -1;
	}
	if (!S_ISREG(st.st_mode) || st.st_size < HEAD_BYTES ||
	    st.st_size > UINT32_MAX)
		return damaged();
	map->size = (uint32_t)st.st_size;
	if (read_at(map, head, sizeof(head), 0) == -1)
		return -1;
	return check_head(map, head, (uint64_t)st.st_size);
}

int cdbmap_open(struct cdbmap *map, int dirfd, const char *path)
{
	map->bytes = (struct str){ 0 };
	map->fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (map->fd == -1)
		return -1;
	if (load_head(map) == -1) {
		int error = errno;

		cdbmap_close(map);
		errno = error;
		return -1;
	}
	return 0;
}

void cdbmap_close(struct cdbmap *map)
{
	if (map->fd != -1)
		close(map->fd);
	map->fd = -1;
	str_wipe(&map->bytes);
}

bool cdbmap_load(struct cdbmap *map, size_t max_bytes)
{
	struct str bytes = { 0 };

	if (map->size > max_bytes)
		return false;
	str_reserve(&bytes, map->size);
	if (read_at(map, bytes.p, map->size, 0) == -1) {
		str_wipe(&bytes);
		return false;
	}
	bytes.len = map->size;
	cdbmap_close(map);
	map->bytes = bytes;
	return true;
}

/* The lengths of the record at `at`, which must end within the records. */
static int read_lengths(struct cdbmap *map, uint32_t at, uint32_t *key_bytes,
			uint32_t *value_bytes)
{
	unsigned char head[8];

	if (at < HEAD_BYTES || (uint64_t)at + 8 > map->records_end)
		return damaged();
	if (read_at(map, head, sizeof(head), at) == -1)
		return -1;
	*key_bytes = le32(head);
	*value_bytes = le32(head + 4);
	if ((uint64_t)at + 8 + *key_bytes + *value_bytes > map->records_end)
		return damaged();
	return 0;
}

/* Append `count` bytes of the file; on failure to is as it was. */
static int append_at(struct cdbmap *map, struct str *to, uint32_t count,
		     uint64_t at)
{
	str_reserve(to, count);
	if (read_at(map, to->p + to->len, count, at) == -1)
		return -1;
	to->len += count;
	return 0;
}

static uint32_t hash_more(uint32_t hash, struct view bytes)
{
	for (size_t i = 0; i < bytes.len; i++)
		hash = (hash * 33) ^ (unsigned char)bytes.p[i];
	return hash;
}

/* Does the record at `at` have a key of this hash, as its slot says? */
static int check_key(struct cdbmap *map, uint32_t at, uint32_t hash)
{
	uint32_t found = HASH_START;
	uint32_t key_bytes;
	uint32_t value_bytes;
	char space[256];

	if (read_lengths(map, at, &key_bytes, &value_bytes) == -1)
		return -1;
	for (uint32_t done = 0; done < key_bytes;) {
		uint32_t left = key_bytes - done;
		size_t some = left < sizeof(space) ? left : sizeof(space);

		if (read_at(map, space, some, (uint64_t)at + 8 + done) == -1)
			return -1;
		found = hash_more(found, view_make(space, some));
		done += (uint32_t)some;
	}
	return found == hash ? 0 : damaged();
}

/*
 * Compare the record at `at`, whose slot has the hash of key; when it is
 * key's, fetch its value.
 */
static enum cdbmap_result match(struct cdbmap *map, uint32_t at, uint32_t hash,
				struct view key, struct str *value)
{
	uint32_t key_bytes;
	uint32_t value_bytes;

	if (read_lengths(map, at, &key_bytes, &value_bytes) == -1)
		return CDBMAP_ERROR;
	if (key_bytes != key.len)
		return check_key(map, at, hash) == 0 ? CDBMAP_MISSING
						     : CDBMAP_ERROR;
	/* The hash agrees, so very likely the key does: read both at once. */
	if (append_at(map, value, key_bytes + value_bytes, (uint64_t)at + 8) ==
	    -1)
		return CDBMAP_ERROR;
	if (!view_eq(view_first(str_view(value), key_bytes), key)) {
		str_reset(value);
		return check_key(map, at, hash) == 0 ? CDBMAP_MISSING
						     : CDBMAP_ERROR;
	}
	str_remove(value, 0, key_bytes);
	return CDBMAP_FOUND;
}

/* A search through one table, its slots read a few at a time. */
struct probe {
	const struct cdbmap_table *table;
	uint32_t hash;
	uint32_t slot; /* the next one */
	uint32_t left; /* slots not looked at yet */
	unsigned char space[SLOTS_AT_ONCE * SLOT_BYTES];
	uint32_t have; /* slots in space */
	uint32_t used;
};

static int probe_fill(struct cdbmap *map, struct probe *probe)
{
	uint32_t count = probe->table->slots - probe->slot;

	if (count > SLOTS_AT_ONCE)
		count = SLOTS_AT_ONCE;
	if (count > probe->left)
		count = probe->left;
	if (read_at(map, probe->space, (size_t)count * SLOT_BYTES,
		    probe->table->at + (uint64_t)probe->slot * SLOT_BYTES) ==
	    -1)
		return -1;
	probe->have = count;
	probe->used = 0;
	probe->left -= count;
	probe->slot += count;
	if (probe->slot == probe->table->slots)
		probe->slot = 0;
	return 0;
}

/* *at: the next record with this hash, or 0 behind the last one. */
static int probe_next(struct cdbmap *map, struct probe *probe, uint32_t *at)
{
	for (;;) {
		const unsigned char *slot;

		if (probe->used == probe->have) {
			/* A table with no free slot was made by nobody. */
			if (probe->left == 0)
				return damaged();
			if (probe_fill(map, probe) == -1)
				return -1;
		}
		slot = probe->space + (size_t)probe->used++ * SLOT_BYTES;
		*at = le32(slot + 4);
		if (*at == 0)
			return le32(slot) ? damaged() : 0;
		if ((le32(slot) ^ probe->hash) & (CDBMAP_TABLES - 1))
			return damaged();
		if (*at < HEAD_BYTES || *at >= map->records_end)
			return damaged();
		if (le32(slot) == probe->hash)
			return 0;
		/* A slot that lies about its record may be the one sought. */
		if (check_key(map, *at, le32(slot)) == -1)
			return -1;
	}
}

static enum cdbmap_result search(struct cdbmap *map, struct view key,
				 struct str *value)
{
	struct probe probe = { .hash = hash_more(HASH_START, key) };
	uint32_t at;

	probe.table = &map->tables[probe.hash & (CDBMAP_TABLES - 1)];
	if (probe.table->slots == 0 || key.len > UINT32_MAX)
		return CDBMAP_MISSING;
	probe.left = probe.table->slots;
	probe.slot = (probe.hash >> 8) % probe.table->slots;
	for (;;) {
		enum cdbmap_result result;

		if (probe_next(map, &probe, &at) == -1)
			return CDBMAP_ERROR;
		if (at == 0)
			return CDBMAP_MISSING;
		result = match(map, at, probe.hash, key, value);
		if (result != CDBMAP_MISSING)
			return result;
	}
}

enum cdbmap_result cdbmap_find(struct cdbmap *map, struct view key,
			       struct str *value)
{
	enum cdbmap_result result;

	str_reset(value);
	result = search(map, key, value);
	if (result != CDBMAP_FOUND)
		str_reset(value);
	return result;
}

enum cdbmap_result cdbmap_next(struct cdbmap *map, uint32_t *at,
			       struct str *key, struct str *value)
{
	uint32_t from = *at ? *at : HEAD_BYTES;
	uint32_t key_bytes;
	uint32_t value_bytes;

	str_reset(key);
	str_reset(value);
	if (from == map->records_end)
		return CDBMAP_MISSING;
	if (read_lengths(map, from, &key_bytes, &value_bytes) == -1 ||
	    append_at(map, key, key_bytes, (uint64_t)from + 8) == -1)
		return CDBMAP_ERROR;
	if (append_at(map, value, value_bytes,
		      (uint64_t)from + 8 + key_bytes) == -1) {
		str_reset(key);
		return CDBMAP_ERROR;
	}
	*at = from + 8 + key_bytes + value_bytes;
	return CDBMAP_FOUND;
}

struct cdbmap_writer {
	struct durable file;
	struct cdb_make make;
	uint64_t bytes; /* of the finished file: tables have two slots each */
};

struct cdbmap_writer *cdbmap_write_begin(int dirfd, const char *path,
					 const char *temp, mode_t mode)
{
	struct cdbmap_writer *writer = calloc(1, sizeof(*writer));
	int result;

	if (!writer)
		die(EXIT_RETRY, "out of memory");
	if (temp)
		result = durable_begin_temp(&writer->file, dirfd, path, temp,
					    mode);
	else
		result = durable_begin(&writer->file, dirfd, path, mode);
	if (result == -1) {
		int error = errno;

		free(writer);
		errno = error;
		return NULL;
	}
	writer->bytes = HEAD_BYTES;
	if (cdb_make_start(&writer->make, writer->file.fd) == -1) {
		cdbmap_write_abort(writer);
		return NULL;
	}
	return writer;
}

int cdbmap_write_add(struct cdbmap_writer *writer, struct view key,
		     struct view value)
{
	uint64_t bytes = writer->bytes;

	/* Nobody has 2^63 bytes in memory: these sums cannot overflow. */
	bytes += 8 + (uint64_t)key.len + value.len + 2UL * SLOT_BYTES;
	if (bytes > UINT32_MAX) {
		errno = EFBIG;
		return -1;
	}
	if (cdb_make_add(&writer->make, key.len ? key.p : "", (unsigned)key.len,
			 value.len ? value.p : "", (unsigned)value.len) == -1)
		return -1;
	writer->bytes = bytes;
	return 0;
}

int cdbmap_write_commit(struct cdbmap_writer *writer)
{
	int result = cdb_make_finish(&writer->make);
	int error;

	if (result == -1)
		durable_abort(&writer->file);
	else
		result = durable_commit(&writer->file);
	error = errno;
	free(writer);
	errno = error;
	return result;
}

void cdbmap_write_abort(struct cdbmap_writer *writer)
{
	int error = errno;

	/* Only finishing gives cdb_make's memory back; let it write nowhere. */
	writer->make.cdb_fd = -1;
	cdb_make_finish(&writer->make);
	durable_abort(&writer->file);
	free(writer);
	errno = error;
}
