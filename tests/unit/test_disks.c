#include "lib/disks.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/record.h"
#include "tests/unit/unit.h"

static void test_devices_of_known_file_systems_are_listed_once(void **state)
{
	static const char *const lines[] = {
		"36 35 98:0 / /mnt rw,noatime shared:1 - xfs /dev/x rw,x=1",
		"37 35 98:0 /sub /other rw - xfs /dev/x rw",
		"38 35 259:1048575 / /a\\040b rw master:1 shared:2 - xfs "
		"/dev/y rw",
		"39 35 7:1 / /n rw - nfs4 server:/xfs rw",
		"40 35 7:2 / /t rw - tmpfs xfs rw",
		"41 35 7:3 / /b rw - btrfs /dev/z rw",
		"42 35 4095:3 / /e rw - ext4 /dev/none rw", /* no such device */
		"43 35 7:4 / /x rw xfs",
		"44 35 7 / /x rw - xfs /dev/x rw",
		"45 35 7:x / /x rw - xfs /dev/x rw",
		"46 35 99999999999:1 / /x rw - xfs /dev/x rw",
		"47 35 7:5 / /x rw -",
		"48 35",
		"",
	};
	struct str list = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(lines); i++)
		disks_add_line(&list, view_of(lines[i]));
	assert_int_equal(list.len, 16);
	assert_int_equal(le64_read(list.p), makedev(98, 0));
	assert_int_equal(le64_read(list.p + 8), makedev(259, 1048575));
	str_free(&list);
}

static void test_only_what_is_listed_needs_no_second_sync(void **state)
{
	struct str list = { 0 };
	struct view none = { 0 };
	int fd = open("/proc/self/stat", O_RDONLY); /* no disk at all */

	(void)state;
	disks_add_line(&list, VIEW("1 2 8:1 / / rw - xfs /dev/x rw"));
	disks_add_line(&list, VIEW("1 2 8:2 / / rw - xfs /dev/x rw"));
	assert_true(disks_name_first(str_view(&list), makedev(8, 1), fd));
	assert_true(disks_name_first(str_view(&list), makedev(8, 2), fd));
	assert_false(disks_name_first(str_view(&list), makedev(8, 3), fd));
	assert_false(disks_name_first(view_first(str_view(&list), 15),
				      makedev(8, 2), fd));
	assert_false(disks_name_first(VIEW(""), makedev(8, 1), fd));
	assert_false(disks_name_first(none, makedev(8, 1), fd));
	assert_false(disks_name_first(VIEW(""), makedev(8, 1), -1));
	close(fd);
	str_free(&list);
}

static void test_the_table_can_be_read_again_and_again(void **state)
{
	struct str first = { 0 };
	struct str second = { 0 };
	int mounts = disks_open();

	(void)state;
	assert_int_not_equal(mounts, -1);
	assert_int_equal(fcntl(mounts, F_GETFD), FD_CLOEXEC);
	assert_int_equal(disks_list(mounts, &first), 0);
	assert_int_equal(disks_list(mounts, &second), 0);
	assert_true(view_eq(str_view(&first), str_view(&second)));
	assert_int_equal(first.len % 8, 0);
	close(mounts);
	str_set_c(&first, "12345678");
	assert_int_equal(disks_list(mounts, &first), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(first.len, 0);
	str_free(&first);
	str_free(&second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_devices_of_known_file_systems_are_listed_once),
		cmocka_unit_test(test_only_what_is_listed_needs_no_second_sync),
		cmocka_unit_test(test_the_table_can_be_read_again_and_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
