#include "lib/qlog.h"

#include <stdlib.h>

#include "tests/unit/unit.h"

/* A segment with `count` records of the bytes 'a', 'b' ... */
static void make_segment(struct str *to, uint64_t generation, size_t count)
{
	qlog_format_header(to, generation, 77);
	for (size_t i = 0; i < count; i++) {
		char image[20];

		memset(image, 'a' + (int)i, sizeof(image));
		qlog_format_head(to, generation, to->len, sizeof(image));
		str_append(to, view_make(image, sizeof(image)));
		while (to->len % 8)
			str_append_byte(to, '\0');
	}
}

static int file_of(const struct str *bytes)
{
	char path[] = "/tmp/test_qlog.XXXXXX";
	int fd = mkstemp(path);

	assert_int_not_equal(fd, -1);
	unlink(path);
	assert_int_equal(write(fd, bytes->p, bytes->len), bytes->len);
	return fd;
}

/* The first bytes of all images that a scan finds. */
static void scan_into(int fd, struct str *found)
{
	struct qlog_scan scan;
	struct qlog_head head;
	struct view image;

	str_reset(found);
	assert_int_equal(qlog_scan_open(&scan, fd), QLOG_OK);
	while (qlog_scan_next(&scan, &head, &image))
		str_append_byte(found,
				head.state == QLOG_LIVE ? image.p[0] : '-');
	qlog_scan_close(&scan);
}

static void test_records_are_found_in_order(void **state)
{
	struct str bytes = { 0 };
	struct str found = { 0 };
	int fd;

	(void)state;
	make_segment(&bytes, 5, 4);
	fd = file_of(&bytes);
	scan_into(fd, &found);
	assert_str(&found, "abcd");
	close(fd);
	str_free(&bytes);
	str_free(&found);
}

static void test_marks_are_seen(void **state)
{
	uint64_t second = qlog_next(QLOG_HEADER_BYTES, 20);
	struct str bytes = { 0 };
	struct str found = { 0 };
	int fd;

	(void)state;
	make_segment(&bytes, 5, 3);
	fd = file_of(&bytes);
	assert_int_equal(qlog_mark(fd, second, QLOG_MOVED), 0);
	scan_into(fd, &found);
	assert_str(&found, "a-c");
	assert_int_equal(qlog_mark(fd, second, QLOG_CANCELLED), 0);
	scan_into(fd, &found);
	assert_str(&found, "a-c");
	close(fd);
	str_free(&bytes);
	str_free(&found);
}

static void test_an_older_generation_is_none(void **state)
{
	struct str bytes = { 0 };
	struct str newer = { 0 };
	struct str found = { 0 };
	int fd;

	(void)state;
	make_segment(&bytes, 5, 4);
	make_segment(&newer, 6, 2);
	memcpy(bytes.p, newer.p, newer.len);
	fd = file_of(&bytes);
	scan_into(fd, &found);
	assert_str(&found, "ab");
	close(fd);
	str_free(&bytes);
	str_free(&newer);
	str_free(&found);
}

static void test_records_behind_a_damaged_head_are_found(void **state)
{
	struct str bytes = { 0 };
	struct str found = { 0 };

	(void)state;
	make_segment(&bytes, 5, 3);
	for (size_t at = 0; at < 40; at++) {
		size_t second = qlog_next(QLOG_HEADER_BYTES, 20) + at;
		int fd;

		bytes.p[second] ^= 1;
		fd = file_of(&bytes);
		scan_into(fd, &found);
		assert_str(&found, "ac");
		close(fd);
		bytes.p[second] ^= 1;
	}
	str_free(&bytes);
	str_free(&found);
}

static void test_a_segment_may_be_cut_anywhere(void **state)
{
	struct str bytes = { 0 };

	(void)state;
	make_segment(&bytes, 5, 2);
	for (size_t len = QLOG_HEADER_BYTES; len < bytes.len; len++) {
		struct str cut = { 0 };
		struct qlog_scan scan;
		struct qlog_head head;
		struct view image;
		int fd;

		str_set(&cut, view_make(bytes.p, len));
		fd = file_of(&cut);
		assert_int_equal(qlog_scan_open(&scan, fd), QLOG_OK);
		while (qlog_scan_next(&scan, &head, &image))
			assert_true(image.len <= head.length);
		qlog_scan_close(&scan);
		close(fd);
		str_free(&cut);
	}
	str_free(&bytes);
}

static void test_headers_are_told_apart(void **state)
{
	struct str bytes = { 0 };
	uint64_t generation;
	uint64_t latest_id;

	(void)state;
	assert_int_equal(qlog_parse_header(VIEW(""), &generation, &latest_id),
			 QLOG_BLANK);
	make_segment(&bytes, 9, 1);
	assert_int_equal(
		qlog_parse_header(str_view(&bytes), &generation, &latest_id),
		QLOG_OK);
	assert_int_equal(generation, 9);
	assert_int_equal(latest_id, 77);
	assert_int_equal(qlog_parse_header(view_first(str_view(&bytes), 100),
					   &generation, &latest_id),
			 QLOG_BAD);
	bytes.p[17] ^= 4;
	assert_int_equal(
		qlog_parse_header(str_view(&bytes), &generation, &latest_id),
		QLOG_BAD);
	memset(bytes.p, 0, QLOG_HEADER_BYTES);
	assert_int_equal(
		qlog_parse_header(str_view(&bytes), &generation, &latest_id),
		QLOG_BLANK);
	str_free(&bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records_are_found_in_order),
		cmocka_unit_test(test_marks_are_seen),
		cmocka_unit_test(test_an_older_generation_is_none),
		cmocka_unit_test(test_records_behind_a_damaged_head_are_found),
		cmocka_unit_test(test_a_segment_may_be_cut_anywhere),
		cmocka_unit_test(test_headers_are_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
