#include "lib/home.h"

#include <errno.h>
#include <stdlib.h>

#include "tests/unit/unit.h"

/*
 * Where the executable lies decides, so these tests copy themselves to a
 * place and ask what the copy thinks: `test_home ask` prints the home
 * and where a program of ours lies.
 */
static const char *self;

static int ask(void)
{
	struct str program = { 0 };
	struct str path = { 0 };

	home_program(&program, "x");
	home_path(&path);
	str_append_byte(&path, ' ');
	str_append(&path, str_view(&program));
	if (write(1, path.p, path.len) == -1)
		return 1;
	str_free(&path);
	str_free(&program);
	return 0;
}

/* The answer must be this home, and x in this home's bin/. */
static void assert_answer(const struct str *answer, const char *home,
			  const char *above_bin)
{
	char want[256];

	snprintf(want, sizeof(want), "%s %s/bin/x", home, above_bin);
	assert_str(answer, want);
}

static void copy_self(struct scratch *scratch, const char *to)
{
	struct str content = { 0 };
	int fd = open(self, O_RDONLY);
	ssize_t got;

	assert_int_not_equal(fd, -1);
	do {
		str_reserve(&content, 65536);
		got = read(fd, content.p + content.len, 65536);
		assert_true(got >= 0);
		content.len += (size_t)got;
	} while (got);
	close(fd);
	scratch_write(scratch, to, str_view(&content));
	assert_int_equal(fchmodat(scratch->fd, to, 0755, 0), 0);
	str_free(&content);
}

/* What the copy at this path says, run as `uid`. */
static void ask_copy(const char *path, const char *forced, uid_t uid,
		     struct str *answer)
{
	int fds[2];
	int status;
	ssize_t got;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		dup2(fds[1], 1);
		if (forced)
			setenv("QMAILHOME", forced, 1);
		else
			unsetenv("QMAILHOME");
		if (uid != geteuid() && setresuid(uid, uid, uid) == -1)
			_exit(1);
		execl(path, path, "ask", (char *)NULL);
		_exit(1);
	}
	close(fds[1]);
	str_reset(answer);
	str_reserve(answer, 4096);
	while ((got = read(fds[0], answer->p + answer->len, 1)) > 0)
		answer->len += (size_t)got;
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_home_is_above_the_bin_of_the_executable(void **state)
{
	struct scratch scratch;
	struct str answer = { 0 };
	char path[128];

	(void)state;
	scratch_open(&scratch);
	assert_int_equal(fchmod(scratch.fd, 0755), 0);
	assert_int_equal(mkdirat(scratch.fd, "bin", 0755), 0);
	assert_int_equal(mkdirat(scratch.fd, "else", 0755), 0);
	copy_self(&scratch, "bin/prog");
	copy_self(&scratch, "else/prog");

	snprintf(path, sizeof(path), "%s/bin/prog", scratch.path);
	ask_copy(path, NULL, geteuid(), &answer);
	assert_answer(&answer, scratch.path, scratch.path);
	snprintf(path, sizeof(path), "%s/else/prog", scratch.path);
	ask_copy(path, NULL, geteuid(), &answer);
	assert_answer(&answer, CONF_QMAIL, CONF_QMAIL);
	str_free(&answer);
	scratch_close(&scratch);
}

static void test_qmailhome_counts_for_ordinary_users_only(void **state)
{
	struct scratch scratch;
	struct str answer = { 0 };
	char path[128];
	uid_t uid = geteuid() ? geteuid() : 65534;

	(void)state;
	scratch_open(&scratch);
	assert_int_equal(fchmod(scratch.fd, 0755), 0);
	assert_int_equal(mkdirat(scratch.fd, "bin", 0755), 0);
	copy_self(&scratch, "bin/prog");
	snprintf(path, sizeof(path), "%s/bin/prog", scratch.path);

	ask_copy(path, "/some/where/", uid, &answer);
	assert_answer(&answer, "/some/where", scratch.path);
	ask_copy(path, "relative", uid, &answer);
	assert_answer(&answer, scratch.path, scratch.path);
	ask_copy(path, "", uid, &answer);
	assert_answer(&answer, scratch.path, scratch.path);
	if (geteuid() == 0) {
		ask_copy(path, "/some/where", 0, &answer);
		assert_answer(&answer, scratch.path, scratch.path);
	}
	str_free(&answer);
	scratch_close(&scratch);
}

static void test_vpopmails_home_has_a_default(void **state)
{
	struct scratch scratch;
	struct str path = { 0 };

	(void)state;
	scratch_open(&scratch);
	assert_int_equal(home_vpopmail(scratch.fd, &path), 0);
	assert_str(&path, CONF_VPOPMAIL);
	assert_int_equal(mkdirat(scratch.fd, "control", 0755), 0);
	scratch_write(&scratch, "control/vpopmailhome", VIEW("/srv/v\n"));
	assert_int_equal(home_vpopmail(scratch.fd, &path), 0);
	assert_str(&path, "/srv/v");
	scratch_write(&scratch, "control/vpopmailhome", VIEW("\n"));
	assert_int_equal(home_vpopmail(scratch.fd, &path), 0);
	assert_str(&path, CONF_VPOPMAIL);
	unlinkat(scratch.fd, "control/vpopmailhome", 0);
	assert_int_equal(mkdirat(scratch.fd, "control/vpopmailhome", 0755), 0);
	assert_int_equal(home_vpopmail(scratch.fd, &path), -1);
	assert_int_equal(errno, EISDIR);
	str_free(&path);
	scratch_close(&scratch);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_home_is_above_the_bin_of_the_executable),
		cmocka_unit_test(test_qmailhome_counts_for_ordinary_users_only),
		cmocka_unit_test(test_vpopmails_home_has_a_default),
	};

	if (argc == 2 && strcmp(argv[1], "ask") == 0)
		return ask();
	self = argv[0];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
