#include "lib/ids.h"

#include <errno.h>
#include <grp.h>

#include "tests/unit/unit.h"

static struct scratch home;

static int setup(void **state)
{
	(void)state;
	scratch_open(&home);
	assert_int_equal(mkdirat(home.fd, "users", 0755), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	scratch_close(&home);
	return 0;
}

static int load(struct ids *ids, const char *content)
{
	scratch_write(&home, "users/ids", view_of(content));
	return ids_load(ids, home.fd);
}

static void test_names_and_groups_are_found(void **state)
{
	struct ids ids;
	uid_t uid;
	gid_t gid;

	(void)state;
	assert_int_equal(load(&ids, "alias 64010 64010\nqmaild 64011  64010\n"
				    "\ngroup:qmail 64020\n"
				    "max 4294967294 0\n"),
			 0);
	assert_false(ids.single);
	assert_int_equal(ids_user(&ids, "qmaild", &uid, &gid), 0);
	assert_int_equal(uid, 64011);
	assert_int_equal(gid, 64010);
	assert_int_equal(ids_user(&ids, "max", &uid, &gid), 0);
	assert_true(uid == 4294967294);
	assert_int_equal(ids_group(&ids, "qmail", &gid), 0);
	assert_int_equal(gid, 64020);
	assert_int_equal(ids_user(&ids, "qmail", &uid, &gid), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(ids_user(&ids, "qmai", &uid, &gid), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(ids_user(&ids, "", &uid, &gid), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(ids_group(&ids, "alias", &gid), -1);
	assert_int_equal(errno, ENOENT);
	ids_free(&ids);
}

static void test_a_single_pair_answers_for_everybody(void **state)
{
	struct ids ids;
	uid_t uid;
	gid_t gid;

	(void)state;
	assert_int_equal(load(&ids, "single 1000 1001\n"), 0);
	assert_true(ids.single);
	assert_int_equal(ids_user(&ids, "qmaild", &uid, &gid), 0);
	assert_int_equal(uid, 1000);
	assert_int_equal(gid, 1001);
	assert_int_equal(ids_group(&ids, "qmail", &gid), 0);
	assert_int_equal(gid, 1001);
	ids_free(&ids);
}

static void test_one_damaged_line_refuses_the_whole_file(void **state)
{
	static const char *const cases[] = {
		"alias\n",
		"alias 1\n",
		"alias 1 x\n",
		"alias 1 2 3\n",
		"alias -1 2\n",
		"alias 4294967295 2\n",
		"alias 1 4294967295\n",
		"alias 4294967296 2\n",
		"alias 1\t2\n",
		"group:qmail\n",
		"group:qmail 1 2\n",
		"single\n",
		"single 1000\n",
		"alias 1 2\nqmaild 3",
		"alias 1 2\r\n",
	};
	struct ids ids;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		assert_int_equal(load(&ids, cases[i]), -1);
		assert_int_equal(errno, EINVAL);
		assert_null(ids.text.p);
	}
}

static void test_an_absent_file_says_so(void **state)
{
	struct ids ids;

	(void)state;
	assert_int_equal(ids_load(&ids, home.fd), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(mkdirat(home.fd, "users/ids", 0755), 0);
	assert_int_equal(ids_load(&ids, home.fd), -1);
	assert_int_equal(errno, EISDIR);
}

static void become_nobody(void *arg)
{
	gid_t many[] = { 0, 1, 2 };
	gid_t groups[8];

	(void)arg;
	if (setgroups(COUNT_OF(many), many) == -1)
		_exit(1);
	if (ids_become(65534, 65533) == -1)
		_exit(2);
	if (getuid() != 65534 || getegid() != 65533 ||
	    getgroups(8, groups) != 1 || groups[0] != 65533)
		_exit(3);
	if (setuid(0) == 0 || setgid(0) == 0)
		_exit(4);
	/* Once somebody, never somebody else. */
	if (ids_become(65534, 65533) == -1)
		_exit(5);
	if (ids_become(65532, 65532) == 0 || errno != EPERM)
		_exit(6);
}

static void test_root_becomes_somebody_for_good(void **state)
{
	struct str said = { 0 };

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(in_child(become_nobody, NULL, &said), 0);
	str_free(&said);
}

static void test_without_root_only_oneself_can_be_become(void **state)
{
	(void)state;
	if (geteuid() == 0)
		skip();
	assert_int_equal(ids_become(getuid(), getgid() + 1), 0);
	assert_int_equal(ids_become(getuid() + 1, getgid()), -1);
	assert_int_equal(errno, EPERM);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_names_and_groups_are_found),
		CASE(test_a_single_pair_answers_for_everybody),
		CASE(test_one_damaged_line_refuses_the_whole_file),
		CASE(test_an_absent_file_says_so),
		CASE(test_root_becomes_somebody_for_good),
		CASE(test_without_root_only_oneself_can_be_become),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
