#include "lib/durable.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

#include "lib/out.h"
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

static void assert_content(const char *name, const char *want)
{
	struct str got = { 0 };

	scratch_read(&scratch, name, &got);
	assert_str(&got, want);
	str_free(&got);
}

static void test_a_commit_replaces_content_and_mode(void **state)
{
	struct stat st;
	mode_t old = umask(0777);

	(void)state;
	umask(022);
	scratch_write(&scratch, "f", VIEW("old"));
	umask(0777);
	assert_int_equal(durable_replace(scratch.fd, "f", VIEW("new"), 0640),
			 0);
	umask(old);
	assert_content("f", "new");
	assert_int_equal(fstatat(scratch.fd, "f", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(scratch_count(&scratch, "."), 1);
	assert_int_equal(mkdirat(scratch.fd, "d", 0755), 0);
	assert_int_equal(durable_replace(scratch.fd, "d/f", VIEW(""), 0600), 0);
	assert_content("d/f", "");
	assert_int_equal(scratch_count(&scratch, "d"), 1);
}

static void test_an_abort_leaves_the_old_file_and_nothing_else(void **state)
{
	struct durable file;

	(void)state;
	scratch_write(&scratch, "f", VIEW("old"));
	assert_int_equal(durable_begin(&file, scratch.fd, "f", 0644), 0);
	assert_int_equal(write_all(file.fd, VIEW("new")), 0);
	assert_content("f", "old");
	errno = EDOM;
	durable_abort(&file);
	assert_int_equal(errno, EDOM);
	assert_content("f", "old");
	assert_int_equal(scratch_count(&scratch, "."), 1);
	durable_abort(&file); /* once more does no harm */
}

static void test_failures_remove_the_temporary_file(void **state)
{
	struct durable file;

	(void)state;
	assert_int_equal(durable_begin(&file, scratch.fd, "none/f", 0644), -1);
	assert_int_equal(errno, ENOENT);
	/* A directory that is not empty cannot be replaced. */
	assert_int_equal(mkdirat(scratch.fd, "d", 0755), 0);
	assert_int_equal(mkdirat(scratch.fd, "d/x", 0755), 0);
	assert_int_equal(durable_replace(scratch.fd, "d", VIEW("x"), 0644), -1);
	assert_int_equal(errno, EISDIR);
	assert_int_equal(scratch_count(&scratch, "."), 1);
	/* What cannot be synced must not be published. */
	assert_int_equal(durable_begin(&file, scratch.fd, "f", 0644), 0);
	close(file.fd);
	file.fd = open("/dev/null", O_PATH);
	assert_int_equal(durable_commit(&file), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(scratch_count(&scratch, "."), 1);
	assert_int_equal(durable_sync(-1), -1);
	assert_int_equal(durable_sync_dir(scratch.fd, "none"), -1);
}

static void replace_on_a_full_disk(void *arg)
{
	struct rlimit limit = { 2, 2 };

	(void)arg;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
	if (durable_replace(scratch.fd, "f", VIEW("new"), 0644) == 0)
		_exit(1);
	if (errno != EFBIG)
		_exit(2);
}

static void test_a_full_disk_leaves_the_old_file(void **state)
{
	struct str said = { 0 };

	(void)state;
	scratch_write(&scratch, "f", VIEW("old"));
	assert_int_equal(in_child(replace_on_a_full_disk, NULL, &said), 0);
	assert_content("f", "old");
	assert_int_equal(scratch_count(&scratch, "."), 1);
	str_free(&said);
}

static void test_leftovers_of_the_dead_are_taken_over(void **state)
{
	struct durable file;
	char name[64];

	(void)state;
	snprintf(name, sizeof(name), "f.%ld", (long)getpid());
	scratch_write(&scratch, "victim", VIEW("keep"));
	assert_int_equal(symlinkat("victim", scratch.fd, name), 0);
	assert_int_equal(durable_replace(scratch.fd, "f", VIEW("new"), 0644),
			 0);
	assert_content("f", "new");
	assert_content("victim", "keep");

	scratch_write(&scratch, "f.tmp", VIEW("half a file that is longer"));
	assert_int_equal(
		durable_begin_temp(&file, scratch.fd, "f", "f.tmp", 0600), 0);
	assert_int_equal(write_all(file.fd, VIEW("newer")), 0);
	assert_int_equal(durable_commit(&file), 0);
	assert_content("f", "newer");
	assert_false(scratch_has(&scratch, "f.tmp"));
}

static void test_a_known_temporary_name_is_no_way_to_other_files(void **state)
{
	struct durable file;

	(void)state;
	scratch_write(&scratch, "victim", VIEW("keep"));
	assert_int_equal(symlinkat("victim", scratch.fd, "t1"), 0);
	assert_int_equal(linkat(scratch.fd, "victim", scratch.fd, "t2", 0), 0);
	assert_int_equal(mkdirat(scratch.fd, "t3", 0755), 0);
	assert_int_equal(mkfifoat(scratch.fd, "t4", 0644), 0);
	for (int i = 1; i < 5; i++) {
		char name[] = "t0";

		name[1] = (char)('0' + i);
		assert_int_equal(
			durable_begin_temp(&file, scratch.fd, "f", name, 0600),
			-1);
		assert_true(scratch_has(&scratch, name));
	}
	assert_content("victim", "keep");
	assert_false(scratch_has(&scratch, "f"));
}

static void write_many(const char *text)
{
	struct durable file;

	for (int i = 0; i < 100; i++) {
		if (durable_begin_temp(&file, scratch.fd, "f", "f.tmp", 0600) ==
		    -1)
			_exit(1);
		for (int part = 0; part < 20; part++)
			if (write_all(file.fd, view_of(text)) == -1)
				_exit(2);
		if (i % 5 == 0)
			durable_abort(&file);
		else if (durable_commit(&file) == -1)
			_exit(3);
	}
	_exit(0);
}

/* Nobody's half-written file is published, nobody's is mixed with another. */
static void test_writers_with_one_temporary_name_take_turns(void **state)
{
	static const char *const texts[] = { "aaaa", "bbbb", "cccc" };
	struct str got = { 0 };
	pid_t pids[3];
	int left = 3;

	(void)state;
	assert_int_equal(durable_replace(scratch.fd, "f", VIEW("dddd"), 0600),
			 0);
	for (int i = 0; i < 3; i++) {
		pids[i] = fork();
		assert_int_not_equal(pids[i], -1);
		if (pids[i] == 0)
			write_many(texts[i]);
	}
	while (left) {
		int status;

		scratch_read(&scratch, "f", &got);
		assert_true(got.len == 80 || got.p[0] == 'd');
		for (size_t i = 1; i < got.len; i++)
			assert_int_equal(got.p[i], got.p[0]);
		if (waitpid(-1, &status, WNOHANG) > 0) {
			assert_int_equal(status, 0);
			left--;
		}
	}
	assert_int_equal(scratch_count(&scratch, "."), 1);
	str_free(&got);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_a_commit_replaces_content_and_mode),
		CASE(test_an_abort_leaves_the_old_file_and_nothing_else),
		CASE(test_failures_remove_the_temporary_file),
		CASE(test_a_full_disk_leaves_the_old_file),
		CASE(test_leftovers_of_the_dead_are_taken_over),
		CASE(test_a_known_temporary_name_is_no_way_to_other_files),
		CASE(test_writers_with_one_temporary_name_take_turns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
