#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/out.h"
#include "send/log.h"
#include "send/names.h"
#include "send/reports.h"
#include "send/syncmode.h"

/* ---- send/log.h ---- */

static void test_strangers_text_cannot_leave_its_line(void **state)
{
	struct str got = { 0 };

	(void)state;
	log_sanitize(&got, VIEW("a b\n100%\t\x01\x7f\xc3\xa4\0~!"));
	assert_string_equal(str_c(&got), "a_b/100_______~!");
	str_free(&got);
}

static void test_a_line_is_written_at_once(void **state)
{
	char space[100];
	int fds[2];
	struct log log = { 0 };

	(void)state;
	assert_int_equal(pipe(fds), 0);
	log.fd = fds[1];
	log_put(&log, "new %d <", 7);
	log_safe(&log, VIEW("x y"));
	log_put(&log, ">");
	log_end(&log);
	assert_int_equal(read(fds[0], space, sizeof(space)), 12);
	assert_memory_equal(space, "new 7 <x_y>\n", 12);
	close(fds[0]);
	close(fds[1]);
	str_free(&log.line);
	str_free(&log.lines);
}

/* ---- send/names.h ---- */

static void test_only_plain_numbers_are_ids(void **state)
{
	static const char *const bad[] = {
		"",   "0",  "01", "1a", "-1",
		"+1", " 1", "..", "1.", "18446744073709551615"
	};
	uint64_t id = 0;

	(void)state;
	assert_true(names_parse_id("1700000000123456", &id));
	assert_int_equal(id, 1700000000123456);
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_false(names_parse_id(bad[i], &id));
}

/* ---- send/reports.h ---- */

static char scratch[] = "/tmp/test_send_parts.XXXXXX";
static int dir = -1;

static int make_scratch(void **state)
{
	(void)state;
	if (!mkdtemp(scratch))
		return -1;
	dir = open(scratch, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return dir == -1 ? -1 : 0;
}

static int remove_scratch(void **state)
{
	(void)state;
	unlinkat(dir, "r", 0);
	unlinkat(dir, "a", 0);
	unlinkat(dir, "b", 0);
	close(dir);
	return rmdir(scratch);
}

static void put_file(const char *name, struct view content)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_int_not_equal(fd, -1);
	assert_int_equal(write_all(fd, content), 0);
	close(fd);
}

static void test_reports_come_back(void **state)
{
	struct str content = { 0 };
	struct view rest;
	struct view text;
	uint64_t end = UINT64_MAX;
	uint64_t recipient;

	(void)state;
	unlinkat(dir, "r", 0);
	assert_int_equal(reports_read(dir, "r", &content), 0);
	assert_int_equal(content.len, 0);
	assert_int_equal(reports_append(dir, "r", &end, 7, VIEW("no\n")), 0);
	assert_int_equal(end, 16 + 8 + 3);
	assert_int_equal(reports_append(dir, "r", &end, 3, VIEW("")), 0);
	assert_int_equal(reports_read(dir, "r", &content), 0);
	rest = str_view(&content);
	assert_true(reports_next(&rest, &recipient, &text));
	assert_int_equal(recipient, 7);
	assert_true(view_eq(text, VIEW("no\n")));
	assert_true(reports_next(&rest, &recipient, &text));
	assert_int_equal(recipient, 3);
	assert_int_equal(text.len, 0);
	assert_false(reports_next(&rest, &recipient, &text));
	str_free(&content);
}

static void test_a_torn_tail_is_overwritten(void **state)
{
	struct str content = { 0 };
	struct str whole = { 0 };
	uint64_t end = UINT64_MAX;
	struct view rest;
	struct view text;
	uint64_t recipient;

	(void)state;
	unlinkat(dir, "r", 0);
	assert_int_equal(reports_append(dir, "r", &end, 0, VIEW("first")), 0);
	assert_int_equal(reports_append(dir, "r", &end, 1, VIEW("second")), 0);
	assert_int_equal(reports_read(dir, "r", &whole), 0);
	for (size_t cut = 1; cut < 16 + 8 + 6; cut++) {
		put_file("r", view_first(str_view(&whole), whole.len - cut));
		assert_int_equal(reports_read(dir, "r", &content), 0);
		assert_int_equal(content.len, 16 + 8 + 5);
		end = UINT64_MAX; /* as after a restart */
		assert_int_equal(reports_append(dir, "r", &end, 2, VIEW("x")),
				 0);
		assert_int_equal(reports_read(dir, "r", &content), 0);
		rest = str_view(&content);
		assert_true(reports_next(&rest, &recipient, &text));
		assert_true(reports_next(&rest, &recipient, &text));
		assert_int_equal(recipient, 2);
		assert_false(reports_next(&rest, &recipient, &text));
		assert_int_equal(rest.len, 0);
	}
	str_free(&content);
	str_free(&whole);
}

static void test_a_move_takes_nobodys_place(void **state)
{
	struct str content = { 0 };

	(void)state;
	put_file("a", VIEW("one"));
	put_file("b", VIEW("two"));
	assert_int_equal(names_move(dir, "a", "b"), -1);
	assert_int_equal(errno, EEXIST);
	unlinkat(dir, "b", 0);
	assert_int_equal(names_move(dir, "a", "b"), 0);
	assert_int_equal(faccessat(dir, "a", F_OK, 0), -1);
	assert_int_equal(faccessat(dir, "b", F_OK, 0), 0);
	assert_int_equal(names_move(dir, "a", "b"), -1);
	assert_int_equal(errno, ENOENT);
	str_free(&content);
}

/* ---- send/syncmode.h ---- */

static void test_only_the_sync_line_changes(void **state)
{
	struct str got = { 0 };

	(void)state;
	syncmode_replace(&got,
			 VIEW("valija-queue 1\nsplit 23\nsync posix\nnew x\n"),
			 QSYNC_JOURNAL);
	assert_string_equal(str_c(&got),
			    "valija-queue 1\nsplit 23\nsync journal\nnew x\n");
	str_reset(&got);
	syncmode_replace(&got, VIEW("sync journal"), QSYNC_POSIX);
	assert_string_equal(str_c(&got), "sync posix\n");
	str_free(&got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strangers_text_cannot_leave_its_line),
		cmocka_unit_test(test_a_line_is_written_at_once),
		cmocka_unit_test(test_only_plain_numbers_are_ids),
		cmocka_unit_test(test_reports_come_back),
		cmocka_unit_test(test_a_torn_tail_is_overwritten),
		cmocka_unit_test(test_a_move_takes_nobodys_place),
		cmocka_unit_test(test_only_the_sync_line_changes),
	};

	return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
