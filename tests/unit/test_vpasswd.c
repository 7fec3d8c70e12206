#include "lib/vpasswd.h"

#include <errno.h>

#include "tests/unit/unit.h"

static struct vpasswd_record record_of(const char *name, const char *crypt)
{
	return (struct vpasswd_record){
		.name = view_of(name),
		.crypt = view_of(crypt),
		.gecos = VIEW("Some One"),
		.dir = VIEW("/v/domains/d/x"),
		.quota = VIEW("NOQUOTA"),
	};
}

static void put(struct scratch *s, const char *name, const char *crypt)
{
	struct vpasswd_record record = record_of(name, crypt);
	struct vpasswd_edit edit;

	assert_int_equal(vpasswd_edit_begin(&edit, s->fd, true), 0);
	assert_int_equal(vpasswd_edit_put(&edit, &record), 0);
	assert_int_equal(vpasswd_edit_commit(&edit), 0);
	vpasswd_edit_free(&edit);
}

static void assert_crypt(struct scratch *s, const char *name, const char *want)
{
	struct vpasswd_record record;
	struct str space = { 0 };

	assert_int_equal(vpasswd_find(s->fd, view_of(name), &space, &record),
			 VPASSWD_FOUND);
	assert_view(record.crypt, want);
	str_free(&space);
}

/* A line of vpasswd, without its cdb. */
static void append_line(struct scratch *s, const char *name)
{
	struct str text = { 0 };

	scratch_read(s, "vpasswd", &text);
	str_appendf(&text, "%s:many:0:0:Some One:/v/d/x:NOQUOTA\n", name);
	scratch_write(s, "vpasswd", str_view(&text));
	str_free(&text);
}

static void assert_in_table(struct vpasswd_table *table, struct scratch *s,
			    const char *name, const char *want)
{
	struct vpasswd_record record;
	struct str space = { 0 };

	assert_int_equal(vpasswd_table_find(table, s->fd, view_of(name), &space,
					    &record),
			 want ? VPASSWD_FOUND : VPASSWD_MISSING);
	if (want)
		assert_view(record.crypt, want);
	str_free(&space);
}

/* So long ago that nothing can have happened since without being seen. */
static void settle(struct vpasswd_table *table)
{
	table->mark.looked_ns += INT64_C(5) * 1000 * 1000 * 1000;
}

static void test_a_kept_table_is_never_an_old_one(void **state)
{
	struct vpasswd_table table = { 0 };
	struct vpasswd_record record;
	struct str space = { 0 };
	struct scratch s;
	char name[16];

	(void)state;
	scratch_open(&s);
	assert_int_equal(
		vpasswd_table_find(&table, s.fd, VIEW("joe"), &space, &record),
		VPASSWD_ERROR);
	assert_int_equal(errno, ENOENT);
	put(&s, "joe", "one");
	assert_in_table(&table, &s, "joe", "one");
	assert_in_table(&table, &s, "jim", NULL);
	assert_true(table.is_loaded);
	settle(&table);
	assert_in_table(&table, &s, "joe", "one");
	put(&s, "joe", "two");
	assert_in_table(&table, &s, "joe", "two");
	settle(&table);
	scratch_write(&s, "vpasswd.cdb", VIEW("damaged"));
	assert_int_equal(
		vpasswd_table_find(&table, s.fd, VIEW("joe"), &space, &record),
		VPASSWD_ERROR);
	assert_int_equal(errno, EPROTO);
	/* One that is too large is read from its file. */
	for (unsigned n = 0; n < 700; n++) {
		snprintf(name, sizeof(name), "user%u", n);
		if (n < 699)
			append_line(&s, name);
		else
			put(&s, name, "last");
	}
	assert_in_table(&table, &s, "user698", "many");
	assert_in_table(&table, &s, "user699", "last");
	assert_false(table.is_loaded);
	assert_int_equal(unlinkat(s.fd, "vpasswd.cdb", 0), 0);
	assert_int_equal(
		vpasswd_table_find(&table, s.fd, VIEW("joe"), &space, &record),
		VPASSWD_ERROR);
	assert_int_equal(errno, ENOENT);
	vpasswd_table_free(&table);
	str_free(&space);
	scratch_close(&s);
}

static void assert_text(struct scratch *s, const char *want)
{
	struct str text = { 0 };

	scratch_read(s, "vpasswd", &text);
	assert_str(&text, want);
	str_free(&text);
}

static void test_a_record_survives_parse_and_format(void **state)
{
	static const char *const cases[] = {
		"$6$s$h:0:0:Joe Doe:/v/d/joe:NOQUOTA",
		"$6$s$h:1:4294967295:Joe:/v/d/joe:10S,5C:cl:ear",
		":0:0::/:",
	};
	struct vpasswd_record record;
	struct str text = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		assert_int_equal(
			vpasswd_parse(VIEW("joe"), view_of(cases[i]), &record),
			0);
		str_reset(&text);
		vpasswd_format(&text, &record);
		assert_str(&text, cases[i]);
	}
	assert_int_equal(vpasswd_parse(VIEW("joe"), view_of(cases[1]), &record),
			 0);
	assert_int_equal(record.uid, 1);
	assert_int_equal(record.gid, 4294967295);
	assert_view(record.quota, "10S,5C");
	assert_view(record.clear, "cl:ear");
	str_free(&text);
}

static void test_what_is_no_record_is_refused(void **state)
{
	const struct view cases[] = {
		VIEW(""),
		VIEW("x"),
		VIEW("x:0:0:g:/d"),
		VIEW("x:a:0:g:/d:Q"),
		VIEW("x:0:-1:g:/d:Q"),
		VIEW("x:0:0:g:d:Q"),
		VIEW("x:0:0:g::Q"),
		VIEW("x:0:0:g:/d\0:Q"),
		VIEW("x:0:0:g:/d:Q\ny:0:0:g:/d:Q"),
		VIEW("x:99999999999999999999:0:g:/d:Q"),
	};
	struct vpasswd_record record;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		errno = 0;
		assert_int_equal(vpasswd_parse(VIEW("joe"), cases[i], &record),
				 -1);
		assert_int_equal(errno, EPROTO);
	}
	assert_int_equal(vpasswd_parse(VIEW(""), VIEW("x:0:0:g:/d:Q"), &record),
			 -1);
}

static void test_records_are_found_changed_and_removed(void **state)
{
	struct scratch s;
	struct vpasswd_edit edit;
	struct vpasswd_record record;
	struct str space = { 0 };

	(void)state;
	scratch_open(&s);
	put(&s, "joe", "1");
	put(&s, "ann", "2");
	put(&s, "zoe", "3");
	put(&s, "joe", "4");
	assert_text(&s, "ann:2:0:0:Some One:/v/domains/d/x:NOQUOTA\n"
			"joe:4:0:0:Some One:/v/domains/d/x:NOQUOTA\n"
			"zoe:3:0:0:Some One:/v/domains/d/x:NOQUOTA\n");
	assert_crypt(&s, "joe", "4");
	assert_crypt(&s, "ann", "2");
	assert_int_equal(vpasswd_edit_begin(&edit, s.fd, false), 0);
	assert_true(vpasswd_edit_remove(&edit, VIEW("joe")));
	assert_false(vpasswd_edit_remove(&edit, VIEW("joe")));
	assert_int_equal(vpasswd_edit_commit(&edit), 0);
	vpasswd_edit_free(&edit);
	assert_int_equal(vpasswd_find(s.fd, VIEW("joe"), &space, &record),
			 VPASSWD_MISSING);
	assert_int_equal(vpasswd_find(s.fd, VIEW("jo"), &space, &record),
			 VPASSWD_MISSING);
	assert_crypt(&s, "zoe", "3");
	assert_false(scratch_has(&s, "cdb.tmp"));
	assert_false(scratch_has(&s, "vpasswd.bak"));
	str_free(&space);
	scratch_close(&s);
}

/* A writer that died between the two files, or never wrote the cdb. */
static void test_a_cdb_that_lags_behind_is_made_anew(void **state)
{
	struct scratch s;
	struct vpasswd_edit edit;
	struct str text = { 0 };

	(void)state;
	scratch_open(&s);
	put(&s, "joe", "1");
	scratch_read(&s, "vpasswd", &text);
	str_append(&text, VIEW("zoe:3:0:0:g:/v/z:NOQUOTA\n"));
	scratch_write(&s, "vpasswd", str_view(&text));
	assert_int_equal(vpasswd_edit_begin(&edit, s.fd, false), 0);
	vpasswd_edit_free(&edit);
	assert_crypt(&s, "joe", "1");
	assert_crypt(&s, "zoe", "3");
	unlinkat(s.fd, "vpasswd.cdb", 0);
	assert_int_equal(vpasswd_edit_begin(&edit, s.fd, false), 0);
	vpasswd_edit_free(&edit);
	assert_crypt(&s, "zoe", "3");
	scratch_write(&s, "vpasswd.cdb", VIEW("rubbish"));
	assert_int_equal(vpasswd_edit_begin(&edit, s.fd, false), 0);
	vpasswd_edit_free(&edit);
	assert_crypt(&s, "zoe", "3");
	str_free(&text);
	scratch_close(&s);
}

static void test_no_or_damaged_cdb_is_an_error_not_missing(void **state)
{
	struct scratch s;
	struct vpasswd_record record;
	struct str space = { 0 };

	(void)state;
	scratch_open(&s);
	assert_int_equal(vpasswd_find(s.fd, VIEW("joe"), &space, &record),
			 VPASSWD_ERROR);
	assert_int_equal(errno, ENOENT);
	put(&s, "joe", "1");
	scratch_write(&s, "vpasswd.cdb", VIEW("rubbish"));
	assert_int_equal(vpasswd_find(s.fd, VIEW("joe"), &space, &record),
			 VPASSWD_ERROR);
	str_free(&space);
	scratch_close(&s);
}

static void test_a_damaged_vpasswd_is_left_alone(void **state)
{
	struct scratch s;
	struct vpasswd_edit edit;

	(void)state;
	scratch_open(&s);
	assert_int_equal(vpasswd_edit_begin(&edit, s.fd, false), -1);
	assert_int_equal(errno, ENOENT);
	put(&s, "joe", "1");
	scratch_write(&s, "vpasswd", VIEW("joe:1:0:0:g:/d:Q\njunk\n"));
	assert_int_equal(vpasswd_edit_begin(&edit, s.fd, true), -1);
	assert_int_equal(errno, EPROTO);
	assert_text(&s, "joe:1:0:0:g:/d:Q\njunk\n");
	scratch_close(&s);
}

static void test_a_list_has_every_account_in_order(void **state)
{
	static const char *const want[] = { "ann", "joe", "zoe" };
	struct scratch s;
	struct vpasswd_list list;
	struct vpasswd_record record;

	(void)state;
	scratch_open(&s);
	put(&s, "zoe", "1");
	put(&s, "ann", "1");
	put(&s, "joe", "1");
	assert_int_equal(vpasswd_list_begin(&list, s.fd), 0);
	for (size_t i = 0; i < COUNT_OF(want); i++) {
		assert_int_equal(vpasswd_list_next(&list, &record),
				 VPASSWD_FOUND);
		assert_view(record.name, want[i]);
	}
	assert_int_equal(vpasswd_list_next(&list, &record), VPASSWD_MISSING);
	vpasswd_list_end(&list);
	scratch_close(&s);
}

static void test_a_record_that_would_break_the_file_is_not_written(void **state)
{
	struct vpasswd_record cases[6];
	struct scratch s;
	struct vpasswd_edit edit;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		cases[i] = record_of("eve", "x");
	cases[0].crypt = VIEW("x:0:0:g:/d:Q\nadm:y");
	cases[1].dir = VIEW("relative");
	cases[2].name = VIEW("a:b");
	cases[3].gecos = VIEW("a\nb");
	cases[4].quota = VIEW("1S:clear");
	cases[5].clear = VIEW("cl:ea\nr");
	scratch_open(&s);
	put(&s, "joe", "1");
	assert_int_equal(vpasswd_edit_begin(&edit, s.fd, false), 0);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		assert_int_equal(vpasswd_edit_put(&edit, &cases[i]), -1);
		assert_int_equal(errno, EINVAL);
	}
	assert_int_equal(vpasswd_edit_commit(&edit), 0);
	vpasswd_edit_free(&edit);
	assert_text(&s, "joe:1:0:0:Some One:/v/domains/d/x:NOQUOTA\n");
	scratch_close(&s);
}

static void writer(struct scratch *s, int number)
{
	char name[32];

	for (int i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "u%d-%d", number, i);
		put(s, name, "x");
	}
}

static void test_writers_at_once_lose_nothing(void **state)
{
	struct scratch s;
	char name[32];
	pid_t pids[4];
	int status;

	(void)state;
	scratch_open(&s);
	for (int i = 0; i < 4; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			writer(&s, i);
			_exit(0);
		}
	}
	for (int i = 0; i < 4; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	for (int i = 0; i < 4; i++)
		for (int j = 0; j < 10; j++) {
			snprintf(name, sizeof(name), "u%d-%d", i, j);
			assert_crypt(&s, name, "x");
		}
	scratch_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_record_survives_parse_and_format),
		cmocka_unit_test(test_what_is_no_record_is_refused),
		cmocka_unit_test(test_records_are_found_changed_and_removed),
		cmocka_unit_test(test_a_cdb_that_lags_behind_is_made_anew),
		cmocka_unit_test(
			test_no_or_damaged_cdb_is_an_error_not_missing),
		cmocka_unit_test(test_a_damaged_vpasswd_is_left_alone),
		cmocka_unit_test(test_a_kept_table_is_never_an_old_one),
		cmocka_unit_test(test_a_list_has_every_account_in_order),
		cmocka_unit_test(
			test_a_record_that_would_break_the_file_is_not_written),
		cmocka_unit_test(test_writers_at_once_lose_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
