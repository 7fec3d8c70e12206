#include "lib/maildirsize.h"

#include <sys/time.h>

#include "tests/unit/unit.h"

static const struct vquota quota = { .bytes = 1000, .messages = 5 };

static void make_mailbox(struct scratch *s)
{
	static const char *const dirs[] = {
		"tmp",       "new",    "cur",        ".Sent",     ".Sent/new",
		".Sent/cur", ".Trash", ".Trash/new", ".Trash/cur"
	};

	scratch_open(s);
	for (size_t i = 0; i < COUNT_OF(dirs); i++)
		assert_int_equal(mkdirat(s->fd, dirs[i], 0700), 0);
}

static void test_names_tell_size_and_flags(void **state)
{
	static const struct {
		const char *name;
		bool has_size;
		uint64_t size;
		bool trashed;
	} cases[] = {
		{ "1.M2P3.host,S=123", true, 123, false },
		{ "1.M2P3.host,S=123:2,S", true, 123, false },
		{ "1.M2P3.host,S=123,W=130:2,ST", true, 123, true },
		{ "1.M2P3.host,W=130,S=7:2,", true, 7, false },
		{ "1.M2P3.host", false, 0, false },
		{ "1.M2P3.host:2,T", false, 0, true },
		{ "1.M2P3.host,S=:2,", false, 0, false },
		{ "1.M2P3.host,S=12x", false, 0, false },
		{ "1.M2P3.host:2,,S=5", false, 0, false },
		{ "S=5", false, 0, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		uint64_t size = 0;
		bool trashed;

		assert_int_equal(maildirsize_of_name(view_of(cases[i].name),
						     &size, &trashed),
				 cases[i].has_size);
		assert_int_equal(size, cases[i].size);
		assert_int_equal(trashed, cases[i].trashed);
	}
}

static void test_the_text_is_summed_up(void **state)
{
	static const struct {
		const char *text;
		int result;
		uint64_t bytes;
		uint64_t messages;
	} cases[] = {
		{ "1000S,5C\n10 1\n", 0, 10, 1 },
		{ "1000S,5C\n          10            1\n  20 2\n-5 -1\n", 0, 25,
		  2 },
		{ "5C,1000S\n10 1\n", 0, 10, 1 },
		{ "1000S\n10 1\n", -1, 0, 0 },     /* another quota */
		{ "1000S,5C\n", -1, 0, 0 },        /* nothing counted */
		{ "1000S,5C\n10 1", -1, 0, 0 },    /* half a line */
		{ "1000S,5C\n-10 1\n", -1, 0, 0 }, /* negative sum */
		{ "1000S,5C\n10\n", -1, 0, 0 },
		{ "1000S,5C\nx y\n", -1, 0, 0 },
		{ "1000S,5C\n9223372036854775807 1\n1 1\n", -1, 0, 0 },
		{ "", -1, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct maildirsize usage = { 0 };
		size_t lines;

		assert_int_equal(maildirsize_parse(view_of(cases[i].text),
						   &quota, &usage, &lines),
				 cases[i].result);
		if (cases[i].result == -1)
			continue;
		assert_int_equal(usage.bytes, cases[i].bytes);
		assert_int_equal(usage.messages, cases[i].messages);
	}
}

static void test_counting_knows_folders_sizes_and_trash(void **state)
{
	struct scratch s;
	struct maildirsize usage;

	(void)state;
	make_mailbox(&s);
	scratch_write(&s, "new/1.a.h,S=100", VIEW(""));
	scratch_write(&s, "cur/2.b.h,S=50:2,S", VIEW(""));
	scratch_write(&s, "cur/3.c.h:2,", VIEW("seven b"));
	scratch_write(&s, "cur/4.d.h,S=500:2,T", VIEW(""));
	scratch_write(&s, ".Sent/cur/5.e.h,S=3:2,", VIEW(""));
	scratch_write(&s, ".Trash/cur/6.f.h,S=400:2,", VIEW(""));
	assert_int_equal(maildirsize_usage(s.fd, &quota, &usage), 0);
	assert_int_equal(usage.bytes, 160);
	assert_int_equal(usage.messages, 4);
	scratch_close(&s);
}

static void test_room_is_kept_track_of(void **state)
{
	struct scratch s;
	struct str text = { 0 };

	(void)state;
	make_mailbox(&s);
	assert_int_equal(maildirsize_room(s.fd, &quota, 1000),
			 MAILDIRSIZE_FITS);
	assert_int_equal(maildirsize_room(s.fd, &quota, 1001),
			 MAILDIRSIZE_FULL);
	scratch_read(&s, "maildirsize", &text);
	assert_str(&text, "1000S,5C\n0 0\n");
	scratch_write(&s, "new/1.a.h,S=900", VIEW(""));
	maildirsize_add(s.fd, 900, 1);
	scratch_read(&s, "maildirsize", &text);
	assert_str(&text, "1000S,5C\n0 0\n900 1\n");
	assert_int_equal(maildirsize_room(s.fd, &quota, 100), MAILDIRSIZE_FITS);
	assert_int_equal(maildirsize_room(s.fd, &quota, 101), MAILDIRSIZE_FULL);
	/* Counted anew because it was full: one line, and fresh. */
	scratch_read(&s, "maildirsize", &text);
	assert_str(&text, "1000S,5C\n900 1\n");
	str_free(&text);
	scratch_close(&s);
}

static void test_a_fresh_full_file_is_believed_an_old_one_not(void **state)
{
	struct timeval old[2] = { { 1000, 0 }, { 1000, 0 } };
	struct scratch s;

	(void)state;
	make_mailbox(&s);
	scratch_write(&s, "maildirsize", VIEW("1000S,5C\n1000 1\n"));
	assert_int_equal(maildirsize_room(s.fd, &quota, 1), MAILDIRSIZE_FULL);
	assert_int_equal(futimesat(s.fd, "maildirsize", old), 0);
	assert_int_equal(maildirsize_room(s.fd, &quota, 1), MAILDIRSIZE_FITS);
	scratch_close(&s);
}

static void test_messages_have_a_limit_too(void **state)
{
	struct scratch s;

	(void)state;
	make_mailbox(&s);
	scratch_write(&s, "maildirsize", VIEW("1000S,5C\n10 4\n"));
	assert_int_equal(maildirsize_room(s.fd, &quota, 1), MAILDIRSIZE_FITS);
	scratch_write(&s, "maildirsize", VIEW("1000S,5C\n10 5\n"));
	assert_int_equal(maildirsize_room(s.fd, &quota, 1), MAILDIRSIZE_FULL);
	scratch_close(&s);
}

static void test_without_a_quota_nothing_is_written(void **state)
{
	const struct vquota none = { 0 };
	struct scratch s;

	(void)state;
	make_mailbox(&s);
	assert_int_equal(maildirsize_room(s.fd, &none, UINT64_MAX),
			 MAILDIRSIZE_FITS);
	maildirsize_add(s.fd, 1, 1);
	assert_false(scratch_has(&s, "maildirsize"));
	scratch_close(&s);
}

static void test_a_file_that_is_a_link_is_not_followed(void **state)
{
	struct scratch s;
	struct str text = { 0 };

	(void)state;
	make_mailbox(&s);
	scratch_write(&s, "other", VIEW("1000S,5C\n1000 5\n"));
	assert_int_equal(symlinkat("other", s.fd, "maildirsize"), 0);
	maildirsize_add(s.fd, 7, 1);
	assert_int_equal(maildirsize_room(s.fd, &quota, 1), MAILDIRSIZE_FITS);
	scratch_read(&s, "other", &text);
	assert_str(&text, "1000S,5C\n1000 5\n");
	str_free(&text);
	scratch_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_tell_size_and_flags),
		cmocka_unit_test(test_the_text_is_summed_up),
		cmocka_unit_test(test_counting_knows_folders_sizes_and_trash),
		cmocka_unit_test(test_room_is_kept_track_of),
		cmocka_unit_test(
			test_a_fresh_full_file_is_believed_an_old_one_not),
		cmocka_unit_test(test_messages_have_a_limit_too),
		cmocka_unit_test(test_without_a_quota_nothing_is_written),
		cmocka_unit_test(test_a_file_that_is_a_link_is_not_followed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
