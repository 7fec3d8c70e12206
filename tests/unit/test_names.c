#include "send/names.h"

#include <errno.h>

#include "tests/unit/unit.h"

static void make_file(int dirfd, const char *path)
{
	int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_EXCL, 0600);

	assert_int_not_equal(fd, -1);
	close(fd);
}

static bool exists(int dirfd, const char *path)
{
	return faccessat(dirfd, path, F_OK, 0) == 0;
}

static void open_queue(struct scratch *scratch)
{
	scratch_open(scratch);
	assert_int_equal(mkdirat(scratch->fd, "new", 0700), 0);
	assert_int_equal(mkdirat(scratch->fd, "mess", 0700), 0);
}

static void test_a_durable_move_leaves_one_name(void **state)
{
	struct scratch scratch;
	struct stat st;

	(void)state;
	open_queue(&scratch);
	make_file(scratch.fd, "new/1");
	assert_int_equal(names_move_durably(scratch.fd, "new/1", "mess/1"), 0);
	assert_false(exists(scratch.fd, "new/1"));
	assert_int_equal(fstatat(scratch.fd, "mess/1", &st, 0), 0);
	assert_int_equal(st.st_nlink, 1);
	scratch_close(&scratch);
}

static void test_a_move_that_a_power_cut_met_is_finished(void **state)
{
	struct scratch scratch;

	(void)state;
	open_queue(&scratch);
	make_file(scratch.fd, "new/1");
	assert_int_equal(linkat(scratch.fd, "new/1", scratch.fd, "mess/1", 0),
			 0);
	assert_int_equal(names_move_durably(scratch.fd, "new/1", "mess/1"), 1);
	assert_false(exists(scratch.fd, "new/1"));
	assert_true(exists(scratch.fd, "mess/1"));
	scratch_close(&scratch);
}

static void test_a_durable_move_takes_nobodys_place(void **state)
{
	struct scratch scratch;

	(void)state;
	open_queue(&scratch);
	make_file(scratch.fd, "new/1");
	make_file(scratch.fd, "mess/1");
	assert_int_equal(names_move_durably(scratch.fd, "new/1", "mess/1"), -1);
	assert_int_equal(errno, EEXIST);
	assert_true(exists(scratch.fd, "new/1"));
	scratch_close(&scratch);
}

static void test_a_durable_move_of_nothing_fails(void **state)
{
	struct scratch scratch;

	(void)state;
	open_queue(&scratch);
	assert_int_equal(names_move_durably(scratch.fd, "new/1", "mess/1"), -1);
	assert_int_equal(errno, ENOENT);
	scratch_close(&scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_durable_move_leaves_one_name),
		cmocka_unit_test(test_a_move_that_a_power_cut_met_is_finished),
		cmocka_unit_test(test_a_durable_move_takes_nobodys_place),
		cmocka_unit_test(test_a_durable_move_of_nothing_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
