#include "lib/cdbmap.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

#include "tests/unit/unit.h"

static struct scratch scratch;

static int setup(void **state)
{
	(void)state;
	scratch_open(&scratch);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	scratch_close(&scratch);
	return 0;
}

static struct cdbmap_writer *begin(void)
{
	struct cdbmap_writer *writer;

	writer = cdbmap_write_begin(scratch.fd, "m.cdb", NULL, 0644);
	assert_non_null(writer);
	return writer;
}

static void write_numbers(unsigned count)
{
	struct cdbmap_writer *writer = begin();
	char text[32];

	for (unsigned i = 0; i < count; i++) {
		snprintf(text, sizeof(text), "key%u", i);
		assert_int_equal(cdbmap_write_add(writer, view_of(text),
						  view_of(text + 3)),
				 0);
	}
	assert_int_equal(cdbmap_write_commit(writer), 0);
}

static void test_what_was_written_is_found_and_nothing_else(void **state)
{
	static const unsigned counts[] = { 0, 1, 2, 300, 20000 };
	struct str value = { 0 };
	struct str key = { 0 };
	struct cdbmap map;
	char text[32];

	(void)state;
	for (size_t i = 0; i < 2 * COUNT_OF(counts); i++) {
		unsigned count = counts[i / 2];
		uint32_t at = 0;

		write_numbers(count);
		assert_int_equal(cdbmap_open(&map, scratch.fd, "m.cdb"), 0);
		/* Once from the file, once from memory. */
		if (i % 2)
			assert_true(cdbmap_load(&map, 1 << 30));
		assert_true(i % 2 ? map.fd == -1 : map.fd != -1);
		for (unsigned n = 0; n < count; n++) {
			snprintf(text, sizeof(text), "key%u", n);
			assert_int_equal(
				cdbmap_find(&map, view_of(text), &value),
				CDBMAP_FOUND);
			assert_str(&value, text + 3);
			assert_int_equal(cdbmap_next(&map, &at, &key, &value),
					 CDBMAP_FOUND);
			assert_str(&key, text);
			assert_str(&value, text + 3);
		}
		assert_int_equal(cdbmap_next(&map, &at, &key, &value),
				 CDBMAP_MISSING);
		for (unsigned n = 0; n < 1000; n++) {
			snprintf(text, sizeof(text), "other%u", n);
			assert_int_equal(
				cdbmap_find(&map, view_of(text), &value),
				CDBMAP_MISSING);
			assert_int_equal(value.len, 0);
		}
		cdbmap_close(&map);
		assert_int_equal(map.fd, -1);
	}
	str_free(&value);
	str_free(&key);
}

static void test_keys_and_values_may_be_empty_binary_or_twice(void **state)
{
	struct cdbmap_writer *writer = begin();
	struct str value = { 0 };
	struct str big = { 0 };
	struct cdbmap map;

	(void)state;
	for (size_t i = 0; i < 300000; i++)
		str_append_byte(&big, (char)(i * 7));
	assert_int_equal(cdbmap_write_add(writer, VIEW(""), VIEW("empty")), 0);
	assert_int_equal(cdbmap_write_add(writer, VIEW("\0x"), VIEW("\0")), 0);
	assert_int_equal(cdbmap_write_add(writer, VIEW("two"), VIEW("1")), 0);
	assert_int_equal(cdbmap_write_add(writer, VIEW("two"), VIEW("2")), 0);
	assert_int_equal(cdbmap_write_add(writer, VIEW("none"), VIEW("")), 0);
	assert_int_equal(
		cdbmap_write_add(writer, str_view(&big), str_view(&big)), 0);
	assert_int_equal(cdbmap_write_commit(writer), 0);

	assert_int_equal(cdbmap_open(&map, scratch.fd, "m.cdb"), 0);
	assert_int_equal(cdbmap_find(&map, VIEW(""), &value), CDBMAP_FOUND);
	assert_str(&value, "empty");
	assert_int_equal(cdbmap_find(&map, VIEW("\0x"), &value), CDBMAP_FOUND);
	assert_int_equal(value.len, 1);
	assert_int_equal(cdbmap_find(&map, VIEW("two"), &value), CDBMAP_FOUND);
	assert_str(&value, "1");
	assert_int_equal(cdbmap_find(&map, VIEW("none"), &value), CDBMAP_FOUND);
	assert_int_equal(value.len, 0);
	assert_int_equal(cdbmap_find(&map, str_view(&big), &value),
			 CDBMAP_FOUND);
	assert_true(view_eq(str_view(&value), str_view(&big)));
	cdbmap_close(&map);
	str_free(&value);
	str_free(&big);
}

static int open_errno(const char *name)
{
	struct cdbmap map;

	errno = 0;
	if (cdbmap_open(&map, scratch.fd, name) == 0) {
		cdbmap_close(&map);
		return 0;
	}
	assert_int_equal(map.fd, -1);
	return errno;
}

static void test_what_is_no_map_is_not_opened(void **state)
{
	struct str content = { 0 };

	(void)state;
	assert_int_equal(open_errno("none"), ENOENT);
	scratch_write(&scratch, "m.cdb", VIEW(""));
	assert_int_equal(open_errno("m.cdb"), EPROTO);
	assert_int_equal(mkdirat(scratch.fd, "dir", 0755), 0);
	assert_int_equal(open_errno("dir"), EISDIR);
	assert_int_equal(mkfifoat(scratch.fd, "fifo", 0644), 0);
	assert_int_equal(open_errno("fifo"), EPROTO);
	/* Every truncation of a file with a record in it. */
	write_numbers(1);
	scratch_read(&scratch, "m.cdb", &content);
	for (size_t len = 0; len < content.len; len++) {
		scratch_write(&scratch, "m.cdb",
			      view_first(str_view(&content), len));
		assert_int_equal(open_errno("m.cdb"), EPROTO);
	}
	/* A file of 4 GiB cannot be addressed. */
	unlinkat(scratch.fd, "m.cdb", 0);
	scratch_write(&scratch, "m.cdb", str_view(&content));
	{
		int fd = openat(scratch.fd, "m.cdb", O_WRONLY);

		if (ftruncate(fd, (off_t)1 << 32) == 0)
			assert_int_equal(open_errno("m.cdb"), EPROTO);
		close(fd);
	}
	str_free(&content);
}

static void put32(struct str *s, size_t at, uint32_t value)
{
	for (size_t i = 0; i < 4; i++)
		s->p[at + i] = (char)(value >> (8 * i));
}

static uint32_t get32(const struct str *s, size_t at)
{
	uint32_t value = 0;

	for (size_t i = 4; i--;)
		value = value << 8 | (unsigned char)s->p[at + i];
	return value;
}

/* Where the head of the table that holds `key0` lies in the file. */
static size_t head_of_table(const struct str *content)
{
	for (size_t at = 0; at < 2048; at += 8)
		if (get32(content, at + 4))
			return at;
	fail();
	return 0;
}

/* Write content, open it, look for key0. */
static enum cdbmap_result find_key0_in(const struct str *content, bool load)
{
	enum cdbmap_result result;
	struct str value = { 0 };
	struct cdbmap map;

	scratch_write(&scratch, "m.cdb", str_view(content));
	errno = 0;
	if (cdbmap_open(&map, scratch.fd, "m.cdb") == -1) {
		assert_int_equal(errno, EPROTO);
		return CDBMAP_ERROR;
	}
	assert_false(cdbmap_load(&map, content->len - 1));
	if (load)
		assert_true(cdbmap_load(&map, content->len));
	errno = 0;
	result = cdbmap_find(&map, VIEW("key0"), &value);
	if (result == CDBMAP_ERROR)
		assert_int_equal(errno, EPROTO);
	if (result != CDBMAP_FOUND)
		assert_int_equal(value.len, 0);
	cdbmap_close(&map);
	str_free(&value);
	return result;
}

/* It makes no difference where it is read. */
static enum cdbmap_result find_key0(const struct str *content)
{
	enum cdbmap_result result = find_key0_in(content, false);

	assert_int_equal(find_key0_in(content, true), result);
	return result;
}

/* IM8: offsets past the end, counts of 2^32-1, loops. */
static void test_damage_is_an_error_and_never_missing(void **state)
{
	static const uint32_t wild[] = { 1,          7,          2047,
					 0x7fffffff, 0x80000000, 0xfffffff0,
					 0xfffffff8, 0xffffffff };
	struct str good = { 0 };
	struct str bad = { 0 };
	size_t head;
	size_t table;

	(void)state;
	write_numbers(1);
	scratch_read(&scratch, "m.cdb", &good);
	assert_int_equal(find_key0(&good), CDBMAP_FOUND);
	head = head_of_table(&good);
	table = get32(&good, head);
	assert_int_equal(get32(&good, head + 4), 2);
	for (size_t i = 0; i < COUNT_OF(wild); i++) {
		size_t slot = table;
		/* position and size of the table, lengths of the record */
		const size_t places[] = { head, 2048, 2052 };

		for (size_t p = 0; p < COUNT_OF(places); p++) {
			/* A smaller key or value is not to be detected. */
			if (places[p] >= 2048 && wild[i] < 2047)
				continue;
			str_set(&bad, str_view(&good));
			put32(&bad, places[p], wild[i]);
			assert_int_equal(find_key0(&bad), CDBMAP_ERROR);
		}
		if (wild[i] > 2) {
			str_set(&bad, str_view(&good));
			put32(&bad, head + 4, wild[i]);
			assert_int_equal(find_key0(&bad), CDBMAP_ERROR);
		}
		/* The position in the slot that is taken. */
		if (get32(&good, slot + 4) == 0)
			slot += 8;
		str_set(&bad, str_view(&good));
		put32(&bad, slot + 4, wild[i]);
		assert_int_equal(find_key0(&bad), CDBMAP_ERROR);
	}
	/* No free slot: a search of old never ended. */
	str_set(&bad, str_view(&good));
	for (size_t slot = table; slot < table + 16; slot += 8) {
		/* A hash of this table that is not the key's. */
		put32(&bad, slot, (uint32_t)(head / 8) | 0xabcdef00);
		put32(&bad, slot + 4, 2048);
	}
	assert_int_equal(find_key0(&bad), CDBMAP_ERROR);
	/* A hash that belongs to another table. */
	str_set(&bad, str_view(&good));
	for (size_t slot = table; slot < table + 16; slot += 8) {
		put32(&bad, slot, get32(&good, slot) ^ 1);
		put32(&bad, slot + 4, 2048);
	}
	assert_int_equal(find_key0(&bad), CDBMAP_ERROR);
	str_free(&good);
	str_free(&bad);
}

/*
 * Values are not protected by anything; whatever else is wrong, be it one
 * bit, no search may end in "not found".
 */
static void test_no_wrong_bit_hides_a_record(void **state)
{
	struct str good = { 0 };
	struct str bad = { 0 };
	size_t found = 0;

	(void)state;
	write_numbers(3);
	scratch_read(&scratch, "m.cdb", &good);
	for (size_t bit = 0; bit < good.len * 8; bit++) {
		str_set(&bad, str_view(&good));
		bad.p[bit / 8] = (char)(bad.p[bit / 8] ^ 1 << bit % 8);
		switch (find_key0(&bad)) {
		case CDBMAP_FOUND:
			found++;
			break;
		case CDBMAP_ERROR:
			break;
		case CDBMAP_MISSING:
			fail_msg("bit %zu hides the record", bit);
		}
	}
	/* What belongs to the others does not matter to this one. */
	assert_in_range(found, 1, good.len * 8 - 1);
	str_free(&good);
	str_free(&bad);
}

static void test_walking_a_damaged_file_ends_in_an_error(void **state)
{
	struct str content = { 0 };
	struct str value = { 0 };
	struct str key = { 0 };
	enum cdbmap_result result;
	struct cdbmap map;
	uint32_t at = 0;
	int count = 0;

	(void)state;
	write_numbers(10);
	scratch_read(&scratch, "m.cdb", &content);
	put32(&content, 2048 + 5 * 13 + 4, 0xffffffff);
	scratch_write(&scratch, "m.cdb", str_view(&content));
	assert_int_equal(cdbmap_open(&map, scratch.fd, "m.cdb"), 0);
	while ((result = cdbmap_next(&map, &at, &key, &value)) == CDBMAP_FOUND)
		count++;
	assert_int_equal(result, CDBMAP_ERROR);
	assert_int_equal(errno, EPROTO);
	assert_int_equal(count, 5);
	assert_int_equal(key.len + value.len, 0);
	at = 17;
	assert_int_equal(cdbmap_next(&map, &at, &key, &value), CDBMAP_ERROR);
	at = UINT32_MAX;
	assert_int_equal(cdbmap_next(&map, &at, &key, &value), CDBMAP_ERROR);
	cdbmap_close(&map);
	str_free(&content);
	str_free(&value);
	str_free(&key);
}

static void test_a_file_that_shrinks_while_open_is_an_error(void **state)
{
	struct str value = { 0 };
	struct cdbmap map;
	int fd;

	(void)state;
	write_numbers(100);
	assert_int_equal(cdbmap_open(&map, scratch.fd, "m.cdb"), 0);
	fd = openat(scratch.fd, "m.cdb", O_WRONLY);
	for (off_t size = 3000; size > 0; size -= 500) {
		assert_int_equal(ftruncate(fd, size), 0);
		assert_int_equal(cdbmap_find(&map, VIEW("key7"), &value),
				 CDBMAP_ERROR);
		assert_int_equal(errno, EPROTO);
	}
	close(fd);
	cdbmap_close(&map);
	str_free(&value);
}

static void test_the_old_map_stands_until_commit(void **state)
{
	struct cdbmap_writer *writer;
	struct str value = { 0 };
	struct cdbmap map;
	struct stat st;

	(void)state;
	write_numbers(3);
	writer = cdbmap_write_begin(scratch.fd, "m.cdb", "m.tmp", 0640);
	assert_non_null(writer);
	assert_true(scratch_has(&scratch, "m.tmp"));
	assert_int_equal(cdbmap_write_add(writer, VIEW("x"), VIEW("y")), 0);
	cdbmap_write_abort(writer);
	assert_int_equal(scratch_count(&scratch, "."), 1);
	assert_int_equal(cdbmap_open(&map, scratch.fd, "m.cdb"), 0);

	writer = cdbmap_write_begin(scratch.fd, "m.cdb", "m.tmp", 0640);
	assert_non_null(writer);
	assert_int_equal(cdbmap_write_add(writer, VIEW("x"), VIEW("y")), 0);
	assert_int_equal(cdbmap_write_commit(writer), 0);
	assert_int_equal(scratch_count(&scratch, "."), 1);
	assert_int_equal(fstatat(scratch.fd, "m.cdb", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	/* Who had the old one open still reads it. */
	assert_int_equal(cdbmap_find(&map, VIEW("key2"), &value), CDBMAP_FOUND);
	cdbmap_close(&map);
	str_free(&value);
	assert_null(cdbmap_write_begin(scratch.fd, "none/m", NULL, 0644));
	assert_int_equal(errno, ENOENT);
}

static void write_on_a_full_disk(void *arg)
{
	struct rlimit limit = { 5000, 5000 };
	struct cdbmap_writer *writer;

	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
	writer = begin();
	for (int i = 0; i < *(int *)arg; i++)
		if (cdbmap_write_add(writer, VIEW("some key"), VIEW("value")) ==
		    -1) {
			bool full = errno == EFBIG;

			cdbmap_write_abort(writer);
			_exit(full ? 10 : 1);
		}
	if (cdbmap_write_commit(writer) == 0)
		_exit(2);
	_exit(errno == EFBIG ? 11 : 3);
}

static void test_a_full_disk_leaves_the_old_map(void **state)
{
	struct str value = { 0 };
	struct cdbmap map;
	int many = 3000;
	int few = 100;

	(void)state;
	write_numbers(3);
	/* Full while adding, and full only when the tables are written. */
	assert_int_equal(in_child(write_on_a_full_disk, &many, &value), 10);
	assert_int_equal(in_child(write_on_a_full_disk, &few, &value), 11);
	assert_int_equal(scratch_count(&scratch, "."), 1);
	assert_int_equal(cdbmap_open(&map, scratch.fd, "m.cdb"), 0);
	assert_int_equal(cdbmap_find(&map, VIEW("key2"), &value), CDBMAP_FOUND);
	cdbmap_close(&map);
	str_free(&value);
}

static void test_sizes_past_four_gib_are_refused_before_writing(void **state)
{
	struct cdbmap_writer *writer = begin();
	static const char byte[1];

	(void)state;
	/* Refused by length alone; nobody reads these bytes. */
	assert_int_equal(cdbmap_write_add(writer, VIEW("k"),
					  view_make(byte, UINT32_MAX)),
			 -1);
	assert_int_equal(errno, EFBIG);
	assert_int_equal(cdbmap_write_add(writer, view_make(byte, UINT32_MAX),
					  VIEW("v")),
			 -1);
	assert_int_equal(errno, EFBIG);
	assert_int_equal(cdbmap_write_add(writer, VIEW("k"), VIEW("v")), 0);
	assert_int_equal(cdbmap_write_commit(writer), 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_what_was_written_is_found_and_nothing_else),
		CASE(test_keys_and_values_may_be_empty_binary_or_twice),
		CASE(test_what_is_no_map_is_not_opened),
		CASE(test_damage_is_an_error_and_never_missing),
		CASE(test_no_wrong_bit_hides_a_record),
		CASE(test_walking_a_damaged_file_ends_in_an_error),
		CASE(test_a_file_that_shrinks_while_open_is_an_error),
		CASE(test_the_old_map_stands_until_commit),
		CASE(test_a_full_disk_leaves_the_old_map),
		CASE(test_sizes_past_four_gib_are_refused_before_writing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
