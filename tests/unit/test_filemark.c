#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/filemark.h"

static void write_file(int dirfd, const char *name, const char *text)
{
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	size_t len = strlen(text);

	assert_int_not_equal(fd, -1);
	assert_int_equal(write(fd, text, len), len);
	close(fd);
}

static void age(int dirfd, const char *name, time_t seconds)
{
	const struct timespec times[2] = { { .tv_sec = seconds },
					   { .tv_sec = seconds } };

	assert_int_equal(utimensat(dirfd, name, times, 0), 0);
}

static void test_every_change_is_seen(void **state)
{
	char template[] = "/tmp/test_filemark.XXXXXX";
	struct filemark one;
	struct filemark two;
	int dirfd;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(template));
	dirfd = open(template, O_RDONLY | O_DIRECTORY);
	assert_int_equal(filemark_look(&one, dirfd, "f"), -1);
	write_file(dirfd, "f", "a");
	age(dirfd, "f", 1000);
	assert_int_equal(filemark_look(&one, dirfd, "f"), 0);
	assert_int_equal(filemark_look(&two, dirfd, "f"), 0);
	assert_true(filemark_same(&one, &two));
	filemark_of(&two, -1);
	assert_false(filemark_same(&one, &two));
	fd = openat(dirfd, "f", O_RDONLY);
	filemark_of(&two, fd);
	close(fd);
	assert_true(filemark_same(&one, &two));
	/* It was changed just now, whatever its own time says. */
	assert_false(filemark_is_settled(&one));

	assert_int_equal(fchmodat(dirfd, "f", 0644, 0), 0);
	assert_int_equal(filemark_look(&two, dirfd, "f"), 0);
	assert_false(filemark_same(&one, &two));

	age(dirfd, "f", 2000);
	assert_int_equal(filemark_look(&one, dirfd, "f"), 0);
	assert_false(filemark_same(&one, &two));

	write_file(dirfd, "g", "a");
	age(dirfd, "g", 2000);
	assert_int_equal(renameat(dirfd, "g", dirfd, "f"), 0);
	assert_int_equal(filemark_look(&two, dirfd, "f"), 0);
	assert_false(filemark_same(&one, &two));

	assert_int_equal(filemark_look(&one, AT_FDCWD, "/"), 0);
	assert_true(filemark_is_settled(&one));
	unlinkat(dirfd, "f", 0);
	close(dirfd);
	rmdir(template);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_change_is_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
