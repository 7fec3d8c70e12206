#include "lib/qfile.h"

/* cmocka.h wants these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/checksum.h"

#define MESSAGE VIEW("Received: x\nSubject: t\n\nHello\n")
#define ID 1795338523000001U

static char dir_path[64];
static int dir = -1;

static int make_dir(void **state)
{
	(void)state;
	snprintf(dir_path, sizeof(dir_path), "/tmp/test_qfile.XXXXXX");
	if (!mkdtemp(dir_path))
		return -1;
	dir = open(dir_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return dir == -1 ? -1 : 0;
}

static int remove_dir(void **state)
{
	(void)state;
	unlinkat(dir, "file", 0);
	unlinkat(dir, "file", AT_REMOVEDIR);
	close(dir);
	return rmdir(dir_path);
}

static void usual_records(struct str *records)
{
	str_reset(records);
	record_append(records, QFILE_SENDER, VIEW("a@example.org"));
	record_append_u64(records, QFILE_UID, 1000);
	record_append_u64(records, QFILE_PID, 4711);
	record_append(records, QFILE_BODY, VIEW("8BITMIME"));
	record_append(records, QFILE_RECIPIENT, VIEW("Wb@example.org"));
	record_append(records, QFILE_NOTIFY, VIEW("FAILURE"));
	record_append(records, 99, VIEW("of a later program"));
	record_append(records, QFILE_ORCPT, VIEW("rfc822;x@y"));
	record_append(records, QFILE_RECIPIENT, VIEW("Wc"));
}

static int create(void)
{
	int fd = openat(dir, "file", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC,
			0600);

	assert_int_not_equal(fd, -1);
	return fd;
}

static void write_usual(void)
{
	struct str records = { 0 };
	struct qfile_writer w;
	int fd = create();

	qfile_writer_init(&w, fd);
	usual_records(&records);
	assert_int_equal(qfile_write_message(&w, view_first(MESSAGE, 5)), 0);
	assert_int_equal(qfile_write_message(&w, view_from(MESSAGE, 5)), 0);
	assert_int_equal(qfile_write_envelope(&w, str_view(&records), ID), 0);
	close(fd);
	qfile_writer_free(&w);
	str_free(&records);
}

static void read_file(struct str *content)
{
	int fd = openat(dir, "file", O_RDONLY | O_CLOEXEC);
	struct stat st;

	assert_int_not_equal(fd, -1);
	assert_int_equal(fstat(fd, &st), 0);
	str_reset(content);
	str_reserve(content, (size_t)st.st_size);
	assert_int_equal(read(fd, content->p, (size_t)st.st_size), st.st_size);
	content->len = (size_t)st.st_size;
	close(fd);
}

static void write_file(struct view content)
{
	int fd = create();

	assert_int_equal(write(fd, content.p, content.len), content.len);
	close(fd);
}

/* A file in memory from parts, all sums right. */
static void build(struct str *content, struct view message, struct view records)
{
	struct qfile_writer w;
	int fd = create();

	qfile_writer_init(&w, fd);
	assert_int_equal(qfile_write_message(&w, message), 0);
	assert_int_equal(qfile_write_envelope(&w, records, ID), 0);
	close(fd);
	qfile_writer_free(&w);
	read_file(content);
}

static void assert_view(struct view got, const char *want)
{
	assert_int_equal(got.len, strlen(want));
	if (got.len)
		assert_memory_equal(got.p, want, got.len);
}

static void check_usual(const struct qfile *q)
{
	struct qfile_cursor at = { 0 };
	struct qfile_recipient rcpt;
	struct view value;

	assert_int_equal(q->id, ID);
	assert_int_equal(q->message_len, MESSAGE.len);
	assert_view(q->sender, "a@example.org");
	assert_true(qfile_find(q, QFILE_BODY, &value));
	assert_view(value, "8BITMIME");
	assert_false(qfile_find(q, QFILE_ENVID, &value));
	assert_true(qfile_next(q, &at, &rcpt));
	assert_int_equal(rcpt.number, 0);
	assert_int_equal(rcpt.state, QFILE_WAITING);
	assert_view(rcpt.address, "b@example.org");
	assert_view(rcpt.notify, "FAILURE");
	assert_view(rcpt.orcpt, "rfc822;x@y");
	assert_true(qfile_next(q, &at, &rcpt));
	assert_int_equal(rcpt.number, 1);
	assert_view(rcpt.address, "c");
	assert_view(rcpt.notify, "");
	assert_view(rcpt.orcpt, "");
	assert_false(qfile_next(q, &at, &rcpt));
	assert_false(qfile_next(q, &at, &rcpt));
}

static void test_written_is_what_is_read(void **state)
{
	struct str content = { 0 };
	struct qfile q;

	(void)state;
	write_usual();
	assert_int_equal(qfile_open(&q, dir, "file"), QFILE_OK);
	check_usual(&q);
	assert_int_equal(qfile_check_message(&q), QFILE_OK);
	assert_true(fcntl(q.fd, F_GETFD) & FD_CLOEXEC);
	qfile_close(&q);
	assert_int_equal(q.fd, -1);
	read_file(&content);
	assert_int_equal(qfile_parse(&q, str_view(&content)), QFILE_OK);
	check_usual(&q);
	qfile_close(&q);
	str_free(&content);
}

static void test_bytes_are_those_of_the_document(void **state)
{
	static const unsigned char want[] = {
		'm', '\n', 1, 0, 0, 0,   0,  0, 0, 0,   1,   0,   0,
		0,   0,    0, 0, 0, 's', 16, 0, 0, 0,   0,   0,   0,
		0,   3,    0, 0, 0, 0,   0,  0, 0, 'W', 'r', '@',
	};
	struct str records = { 0 };
	struct str content = { 0 };
	const char *footer;
	uint32_t crc;

	(void)state;
	record_append(&records, QFILE_SENDER, VIEW("s"));
	record_append(&records, QFILE_RECIPIENT, VIEW("Wr@"));
	build(&content, VIEW("m\n"), str_view(&records));
	assert_int_equal(content.len, sizeof(want) + QFILE_FOOTER_BYTES);
	assert_memory_equal(content.p, want, sizeof(want));
	footer = content.p + sizeof(want);
	assert_int_equal(le64_read(footer), 2);
	assert_int_equal(le64_read(footer + 8), 36);
	assert_int_equal(le64_read(footer + 16),
			 crc32c(CRC32C_START, VIEW("m\n")));
	/* The envelope without the W. */
	crc = crc32c(CRC32C_START, view_make(want + 2, 33));
	crc = crc32c(crc, view_make(want + 36, 2));
	assert_int_equal(le64_read(footer + 24), crc);
	assert_int_equal(le64_read(footer + 32), ID);
	assert_int_equal(le64_read(footer + 40), 1);
	assert_memory_equal(footer + 48, "valijaQF", 8);
	assert_int_equal(le64_read(footer + 56),
			 crc32c(CRC32C_START, view_make(footer, 56)));
	str_free(&records);
	str_free(&content);
}

static void test_pieces_of_records_give_the_same_file(void **state)
{
	struct str records = { 0 };
	struct str whole = { 0 };
	struct str pieces = { 0 };
	struct qfile_writer w;
	struct view rest;
	struct record record;
	const char *from;
	int fd;

	(void)state;
	usual_records(&records);
	build(&whole, MESSAGE, str_view(&records));
	fd = create();
	qfile_writer_init(&w, fd);
	assert_int_equal(qfile_write_message(&w, MESSAGE), 0);
	rest = str_view(&records);
	from = rest.p;
	while (record_next(&rest, &record) == RECORD_OK) {
		assert_int_equal(
			qfile_write_records(
				&w, view_make(from, (size_t)(rest.p - from))),
			0);
		from = rest.p;
	}
	assert_int_equal(qfile_write_footer(&w, ID), 0);
	close(fd);
	qfile_writer_free(&w);
	read_file(&pieces);
	assert_true(view_eq(str_view(&whole), str_view(&pieces)));
	str_free(&records);
	str_free(&whole);
	str_free(&pieces);
}

static void test_marks_change_one_byte_and_no_sum(void **state)
{
	struct str before = { 0 };
	struct str after = { 0 };
	struct qfile_cursor at = { 0 };
	struct qfile_recipient rcpt;
	struct qfile q;
	size_t differ = 0;

	(void)state;
	write_usual();
	read_file(&before);
	assert_int_equal(qfile_open(&q, dir, "file"), QFILE_OK);
	assert_true(qfile_next(&q, &at, &rcpt));
	assert_true(qfile_next(&q, &at, &rcpt));
	assert_int_equal(qfile_mark(&q, rcpt.state_offset, QFILE_FAILED), 0);
	qfile_close(&q);
	read_file(&after);
	assert_int_equal(before.len, after.len);
	for (size_t i = 0; i < before.len; i++)
		differ += before.p[i] != after.p[i];
	assert_int_equal(differ, 1);
	assert_int_equal(qfile_open(&q, dir, "file"), QFILE_OK);
	at = (struct qfile_cursor){ 0 };
	assert_true(qfile_next(&q, &at, &rcpt));
	assert_int_equal(rcpt.state, QFILE_WAITING);
	assert_int_equal(qfile_mark(&q, rcpt.state_offset, QFILE_DELIVERED), 0);
	assert_true(qfile_next(&q, &at, &rcpt));
	assert_int_equal(rcpt.state, QFILE_FAILED);
	qfile_close(&q);
	assert_int_equal(qfile_open(&q, dir, "file"), QFILE_OK);
	at = (struct qfile_cursor){ 0 };
	assert_true(qfile_next(&q, &at, &rcpt));
	assert_int_equal(rcpt.state, QFILE_DELIVERED);
	qfile_close(&q);
	str_free(&before);
	str_free(&after);
}

static void test_invalid_state_means_waiting(void **state)
{
	struct qfile q;

	(void)state;
	write_usual();
	for (int byte = 0; byte < 256; byte++) {
		struct qfile_cursor at = { 0 };
		struct qfile_recipient rcpt;
		enum qfile_state want = QFILE_WAITING;

		if (byte == 'D')
			want = QFILE_DELIVERED;
		if (byte == 'X')
			want = QFILE_FAILED;
		assert_int_equal(qfile_open(&q, dir, "file"), QFILE_OK);
		assert_true(qfile_next(&q, &at, &rcpt));
		assert_int_equal(qfile_mark(&q, rcpt.state_offset,
					    (enum qfile_state)byte),
				 0);
		qfile_close(&q);
		assert_int_equal(qfile_open(&q, dir, "file"), QFILE_OK);
		at = (struct qfile_cursor){ 0 };
		assert_true(qfile_next(&q, &at, &rcpt));
		assert_int_equal(rcpt.state, want);
		qfile_close(&q);
	}
}

static void test_footer_takes_a_new_id(void **state)
{
	struct str records = { 0 };
	struct qfile_writer w;
	struct qfile q;
	int fd = create();

	(void)state;
	qfile_writer_init(&w, fd);
	usual_records(&records);
	assert_int_equal(qfile_write_message(&w, MESSAGE), 0);
	assert_int_equal(qfile_write_envelope(&w, str_view(&records), ID - 1),
			 0);
	assert_int_equal(qfile_rewrite_footer(&w, ID), 0);
	close(fd);
	qfile_writer_free(&w);
	assert_int_equal(qfile_open(&q, dir, "file"), QFILE_OK);
	check_usual(&q);
	qfile_close(&q);
	str_free(&records);
}

static bool is_state_byte(const struct qfile *q, size_t offset)
{
	struct qfile_cursor at = { 0 };
	struct qfile_recipient rcpt;

	while (qfile_next(q, &at, &rcpt))
		if (rcpt.state_offset == offset)
			return true;
	return false;
}

static void test_every_flipped_bit_is_noticed(void **state)
{
	struct str content = { 0 };
	struct qfile sound;
	struct qfile q;

	(void)state;
	write_usual();
	read_file(&content);
	assert_int_equal(qfile_parse(&sound, str_view(&content)), QFILE_OK);
	for (size_t i = 0; i < content.len; i++) {
		for (int bit = 0; bit < 8; bit++) {
			enum qfile_result result;

			content.p[i] = (char)(content.p[i] ^ 1 << bit);
			write_file(str_view(&content));
			result = qfile_open(&q, dir, "file");
			if (result == QFILE_OK) {
				result = qfile_check_message(&q);
				qfile_close(&q);
			}
			if (is_state_byte(&sound, i))
				assert_int_equal(result, QFILE_OK);
			else
				assert_int_equal(result, QFILE_BAD);
			content.p[i] = (char)(content.p[i] ^ 1 << bit);
		}
	}
	qfile_close(&sound);
	str_free(&content);
}

static void test_every_truncation_is_noticed(void **state)
{
	struct str content = { 0 };
	struct qfile q;

	(void)state;
	write_usual();
	read_file(&content);
	for (size_t len = 0; len < content.len; len++) {
		write_file(view_first(str_view(&content), len));
		assert_int_equal(qfile_open(&q, dir, "file"),
				 len ? QFILE_BAD : QFILE_EMPTY);
	}
	str_append_byte(&content, 'x');
	write_file(str_view(&content));
	assert_int_equal(qfile_open(&q, dir, "file"), QFILE_BAD);
	str_free(&content);
}

/* Put a value into the footer and make its sum right again. */
static void forge(struct str *content, size_t at, uint64_t value)
{
	char *footer = content->p + content->len - QFILE_FOOTER_BYTES;

	le64_write(footer + at, value);
	le64_write(footer + 56, crc32c(CRC32C_START, view_make(footer, 56)));
}

static void test_forged_footers(void **state)
{
	static const struct {
		const char *label;
		size_t at;
		uint64_t value;
		enum qfile_result want;
	} cases[] = {
		{ "message longer", 0, 1000, QFILE_BAD },
		{ "message endless", 0, UINT64_MAX, QFILE_BAD },
		{ "message wraps", 0, UINT64_MAX - 99, QFILE_BAD },
		{ "envelope longer", 8, 1000, QFILE_BAD },
		{ "envelope endless", 8, UINT64_MAX, QFILE_BAD },
		{ "envelope over the limit", 8, QFILE_ENVELOPE_MAX + 1,
		  QFILE_BAD },
		{ "wide message sum", 16, UINT64_C(1) << 32, QFILE_BAD },
		{ "wide envelope sum", 24, UINT64_C(1) << 32, QFILE_BAD },
		{ "version 0", 40, 0, QFILE_BAD },
		{ "version 2", 40, 2, QFILE_NEWER },
		{ "last version", 40, UINT64_MAX, QFILE_NEWER },
	};
	struct str content = { 0 };
	struct qfile q;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		write_usual();
		read_file(&content);
		forge(&content, cases[i].at, cases[i].value);
		write_file(str_view(&content));
		if (qfile_open(&q, dir, "file") != cases[i].want ||
		    qfile_parse(&q, str_view(&content)) != cases[i].want)
			fail_msg("%s", cases[i].label);
	}
	str_free(&content);
}

static void test_wrong_records_are_bad(void **state)
{
	static const struct {
		const char *label;
		uint64_t types[3];
		struct view values[3];
		size_t count;
	} cases[] = {
		{ "nothing", { 0 }, { { 0 } }, 0 },
		{ "no recipient", { 1 }, { { "s", 1 } }, 1 },
		{ "no sender", { 16 }, { { "Wr", 2 } }, 1 },
		{ "sender second",
		  { 4, 1, 16 },
		  { { "7BIT", 4 }, { "s", 1 }, { "Wr", 2 } },
		  3 },
		{ "two senders",
		  { 1, 1, 16 },
		  { { "s", 1 }, { "s", 1 }, { "Wr", 2 } },
		  3 },
		{ "recipient without state",
		  { 1, 16 },
		  { { "s", 1 }, { "", 0 } },
		  2 },
		{ "ORCPT of nobody",
		  { 1, 18, 16 },
		  { { "s", 1 }, { "x", 1 }, { "Wr", 2 } },
		  3 },
		{ "NUL in the sender",
		  { 1, 16 },
		  { { "s\0t", 3 }, { "Wr", 2 } },
		  2 },
		{ "NUL in a recipient",
		  { 1, 16 },
		  { { "s", 1 }, { "Wr\0", 3 } },
		  2 },
	};
	struct str records = { 0 };
	struct str content = { 0 };
	struct qfile q;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		str_reset(&records);
		for (size_t j = 0; j < cases[i].count; j++)
			record_append(&records, cases[i].types[j],
				      cases[i].values[j]);
		build(&content, MESSAGE, str_view(&records));
		if (qfile_parse(&q, str_view(&content)) != QFILE_BAD)
			fail_msg("%s", cases[i].label);
	}
	str_reset(&records);
	usual_records(&records);
	str_truncate(&records, records.len - 1);
	build(&content, MESSAGE, str_view(&records));
	assert_int_equal(qfile_parse(&q, str_view(&content)), QFILE_BAD);
	str_free(&records);
	str_free(&content);
}

static void test_empty_sender_and_empty_message_are_sound(void **state)
{
	struct str records = { 0 };
	struct str content = { 0 };
	struct qfile q;

	(void)state;
	record_append(&records, QFILE_SENDER, VIEW(""));
	record_append(&records, QFILE_RECIPIENT, VIEW("W"));
	build(&content, VIEW(""), str_view(&records));
	assert_int_equal(qfile_parse(&q, str_view(&content)), QFILE_OK);
	assert_int_equal(q.sender.len, 0);
	qfile_close(&q);
	assert_int_equal(qfile_open(&q, dir, "file"), QFILE_OK);
	assert_int_equal(qfile_check_message(&q), QFILE_OK);
	qfile_close(&q);
	str_free(&records);
	str_free(&content);
}

static void test_what_is_no_file(void **state)
{
	struct qfile q;

	(void)state;
	assert_int_equal(qfile_open(&q, dir, "file"), QFILE_ABSENT);
	assert_int_equal(symlinkat("/etc/passwd", dir, "file"), 0);
	assert_int_equal(qfile_open(&q, dir, "file"), QFILE_BAD);
	assert_int_equal(unlinkat(dir, "file", 0), 0);
	assert_int_equal(mkfifoat(dir, "file", 0600), 0);
	assert_int_equal(qfile_open(&q, dir, "file"), QFILE_BAD);
	assert_int_equal(unlinkat(dir, "file", 0), 0);
	assert_int_equal(mkdirat(dir, "file", 0700), 0);
	assert_int_equal(qfile_open(&q, dir, "file"), QFILE_BAD);
	assert_int_equal(qfile_open(&q, -1, "file"), QFILE_ERROR);
}

static void test_long_message_is_checked_whole(void **state)
{
	static char piece[50000];
	struct str records = { 0 };
	struct qfile_writer w;
	struct qfile q;
	int fd = create();

	(void)state;
	qfile_writer_init(&w, fd);
	usual_records(&records);
	for (int i = 0; i < 7; i++) {
		memset(piece, 'a' + i, sizeof(piece));
		assert_int_equal(qfile_write_message(
					 &w, view_make(piece, sizeof(piece))),
				 0);
	}
	assert_int_equal(qfile_write_envelope(&w, str_view(&records), ID), 0);
	close(fd);
	qfile_writer_free(&w);
	assert_int_equal(qfile_open(&q, dir, "file"), QFILE_OK);
	assert_int_equal(qfile_check_message(&q), QFILE_OK);
	assert_int_equal(pwrite(q.fd, "!", 1, 349999), 1);
	assert_int_equal(qfile_check_message(&q), QFILE_BAD);
	qfile_close(&q);
	str_free(&records);
}

int main(void)
{
#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)
	const struct CMUnitTest tests[] = {
		IN_DIR(test_written_is_what_is_read),
		IN_DIR(test_bytes_are_those_of_the_document),
		IN_DIR(test_pieces_of_records_give_the_same_file),
		IN_DIR(test_marks_change_one_byte_and_no_sum),
		IN_DIR(test_invalid_state_means_waiting),
		IN_DIR(test_footer_takes_a_new_id),
		IN_DIR(test_every_flipped_bit_is_noticed),
		IN_DIR(test_every_truncation_is_noticed),
		IN_DIR(test_forged_footers),
		IN_DIR(test_wrong_records_are_bad),
		IN_DIR(test_empty_sender_and_empty_message_are_sound),
		IN_DIR(test_what_is_no_file),
		IN_DIR(test_long_message_is_checked_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
