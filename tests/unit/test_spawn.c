#include "lib/spawn.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

#include "tests/unit/unit.h"

/* Run the shell script with `count` descriptors as named; its output. */
static int run(struct spawn *s, const char *script, struct str *output)
{
	const char *const argv[] = { "/bin/sh", "-c", script, NULL };
	int fds[2];
	int status;
	ssize_t got;
	pid_t pid;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	if (!s->argv)
		s->argv = argv;
	spawn_fd(s, fds[1], 1);
	spawn_fd(s, fds[1], 2);
	pid = spawn_start(s);
	assert_int_not_equal(pid, -1);
	close(fds[1]);
	str_reset(output);
	do {
		str_reserve(output, 4096);
		got = read(fds[0], output->p + output->len, 4096);
		assert_true(got >= 0);
		output->len += (size_t)got;
	} while (got);
	close(fds[0]);
	assert_int_equal(spawn_wait(pid, &status), 0);
	return spawn_exit_code(status);
}

static void test_exit_codes_and_signals_are_told_apart(void **state)
{
	struct str output = { 0 };
	int status;

	(void)state;
	assert_int_equal(run(&(struct spawn){ 0 }, "exit 100", &output), 100);
	assert_int_equal(run(&(struct spawn){ 0 }, "kill -9 $$", &output), -1);
	assert_int_equal(spawn_wait(1, &status), -1);
	assert_int_equal(errno, ECHILD);
	str_free(&output);
}

static void test_the_child_gets_the_descriptors_named_and_no_other(void **state)
{
	struct str output = { 0 };
	struct spawn s = { 0 };
	int other = open("/dev/null", O_RDONLY); /* not close-on-exec */
	int high = fcntl(other, F_DUPFD, 100);
	int given = open("/dev/zero", O_RDONLY);

	(void)state;
	spawn_fd(&s, given, 5);
	spawn_fd(&s, given, 7);
	assert_int_equal(run(&s,
			     "for f in 3 4 5 6 7 8 9 100 101; do "
			     "[ -e /dev/fd/$f ] && echo $f; done; true",
			     &output),
			 0);
	assert_str(&output, "5\n7\n");
	close(other);
	close(high);
	close(given);
	str_free(&output);
}

/* 0 and 3 change places: neither may overwrite the other first. */
static void test_descriptors_may_change_places(void **state)
{
	struct str output = { 0 };
	struct spawn s = { 0 };
	struct scratch scratch;
	int a;
	int b;

	(void)state;
	scratch_open(&scratch);
	scratch_write(&scratch, "a", VIEW("content a\n"));
	scratch_write(&scratch, "b", VIEW("content b\n"));
	a = openat(scratch.fd, "a", O_RDONLY | O_CLOEXEC);
	b = openat(scratch.fd, "b", O_RDONLY | O_CLOEXEC);
	spawn_fd(&s, a, b);
	spawn_fd(&s, b, a);
	spawn_fd(&s, b, 0);
	if (a < 10 && b < 10) {
		char script[64];

		snprintf(script, sizeof(script), "cat <&%d; cat <&%d", a, b);
		assert_int_equal(run(&s, script, &output), 0);
		assert_str(&output, "content b\ncontent a\n");
	}
	close(a);
	close(b);
	str_free(&output);
	scratch_close(&scratch);
}

static void test_who_asks_hears_what_failed(void **state)
{
	const char *none[] = { "/no/such/program", NULL };
	const char *some[] = { "/bin/true", NULL };
	struct spawn s = { .argv = none, .asks = true };
	int status;
	pid_t pid;

	(void)state;
	assert_int_equal(spawn_start(&s), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(waitpid(-1, &status, WNOHANG), -1);
	s.cwd = "/no/such/folder";
	s.argv = some;
	assert_int_equal(spawn_start(&s), -1);
	assert_int_equal(errno, ENOENT);
	s.cwd = NULL;
	pid = spawn_start(&s);
	assert_int_not_equal(pid, -1);
	assert_int_equal(spawn_wait(pid, &status), 0);
	assert_int_equal(status, 0);
}

static void test_directory_and_environment_are_as_asked(void **state)
{
	char *envp[] = { (char *)(uintptr_t) "ONLY=this", NULL };
	struct str output = { 0 };

	(void)state;
	assert_int_equal(run(&(struct spawn){ .cwd = "/usr", .envp = envp },
			     "echo $PWD $ONLY $HOME", &output),
			 0);
	assert_str(&output, "/usr this\n");
	setenv("INHERITED", "yes", 1);
	assert_int_equal(run(&(struct spawn){ 0 }, "echo $INHERITED", &output),
			 0);
	assert_str(&output, "yes\n");
	assert_int_equal(
		run(&(struct spawn){ .cwd = "/none" }, "true", &output), 111);
	assert_str(&output, "valija: cannot change directory to /none: "
			    "No such file or directory\n");
	str_free(&output);
}

static void test_no_such_program_is_permanent_and_says_so(void **state)
{
	static const struct {
		const char *program;
		bool search;
		int code;
	} cases[] = {
		{ "/none/such", false, 100 }, { "none-such", true, 100 },
		{ "sh", false, 100 },         { "/etc/passwd", false, 100 },
		{ "/usr", false, 100 },       { "true", true, 0 },
	};
	struct str output = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const char *const argv[] = { cases[i].program, NULL };
		struct spawn s = { .argv = argv,
				   .search_path = cases[i].search };

		assert_int_equal(run(&s, NULL, &output), cases[i].code);
		if (cases[i].code)
			assert_true(view_starts(str_view(&output),
						VIEW("valija: cannot run ")));
	}
	str_free(&output);
}

static void test_the_child_starts_with_default_signals(void **state)
{
	struct str output = { 0 };
	sigset_t all;
	sigset_t old;

	(void)state;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(run(&(struct spawn){ 0 },
			     "grep -E '^Sig(Blk|Ign):.*[1-9a-f]' "
			     "/proc/self/status",
			     &output),
			 1);
	assert_str(&output, "");
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &old, NULL);
	str_free(&output);
}

static void spawn_with_few_descriptors(void *arg)
{
	const char *const argv[] = { "/bin/true", NULL };
	struct spawn s = { .argv = argv };
	struct rlimit few = { 16, 16 };
	int status;
	pid_t pid;

	(void)arg;
	setrlimit(RLIMIT_NOFILE, &few);
	spawn_fd(&s, 2, 2);
	pid = spawn_start(&s);
	if (pid == -1 || spawn_wait(pid, &status) == -1)
		_exit(1);
	_exit(spawn_exit_code(status));
}

static void test_too_few_descriptors_are_a_temporary_failure(void **state)
{
	struct str said = { 0 };

	(void)state;
	assert_int_equal(in_child(spawn_with_few_descriptors, NULL, &said),
			 111);
	assert_true(view_starts(str_view(&said),
				VIEW("valija: cannot place descriptors: ")));
	str_free(&said);
}

static void test_the_child_becomes_who_was_named(void **state)
{
	struct str output = { 0 };

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(run(&(struct spawn){ .change_ids = true,
					      .uid = 65534,
					      .gid = 65533 },
			     "id -u; id -g; id -G", &output),
			 0);
	assert_str(&output, "65534\n65533\n65533\n");
	str_free(&output);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exit_codes_and_signals_are_told_apart),
		cmocka_unit_test(
			test_the_child_gets_the_descriptors_named_and_no_other),
		cmocka_unit_test(test_descriptors_may_change_places),
		cmocka_unit_test(test_who_asks_hears_what_failed),
		cmocka_unit_test(test_directory_and_environment_are_as_asked),
		cmocka_unit_test(test_no_such_program_is_permanent_and_says_so),
		cmocka_unit_test(test_the_child_starts_with_default_signals),
		cmocka_unit_test(
			test_too_few_descriptors_are_a_temporary_failure),
		cmocka_unit_test(test_the_child_becomes_who_was_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
