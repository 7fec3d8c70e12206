#include "lib/launcher.h"

#include <errno.h>
#include <signal.h>

#include "lib/die.h"
#include "lib/sandbox.h"
#include "lib/spawn.h"
#include "tests/unit/unit.h"

static struct scratch home;

static void open_home(const char *script)
{
	int fd;

	scratch_open(&home);
	if (!script)
		return;
	scratch_write(&home, "program", view_of(script));
	fd = openat(home.fd, "program", O_RDONLY);
	assert_int_equal(fchmod(fd, 0755), 0);
	close(fd);
}

/* Run it with descriptor 1 as a pipe; what it wrote, and its status. */
static int run(const struct launcher *launcher, struct str *output)
{
	struct launch launch;
	int status = -1;
	int fds[2];
	ssize_t got;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(launch_begin(&launch, launcher), 0);
	assert_int_equal(launch_fd(&launch, fds[1], VIEW("\1")), 0);
	assert_int_equal(launch_start(&launch), 0);
	assert_true(launch.pid > 0);
	close(fds[1]);
	str_reset(output);
	do {
		str_reserve(output, 4096);
		got = read(fds[0], output->p + output->len, 4096);
		assert_true(got >= 0);
		output->len += (size_t)got;
	} while (got);
	close(fds[0]);
	assert_int_equal(launch_wait(&launch, &status), 0);
	launch_close(&launch);
	return status;
}

static void test_the_program_runs_in_the_home_and_its_end_is_told(void **state)
{
	struct launcher launcher;
	struct str output = { 0 };

	(void)state;
	open_home("#!/bin/sh\npwd\nexit 82\n");
	assert_int_equal(launcher_open(&launcher, home.fd, "./program"), 0);
	for (int i = 0; i < 3; i++) {
		int status = run(&launcher, &output);

		assert_int_equal(spawn_exit_code(status), 82);
		output.p[output.len - 1] = '\0';
		assert_string_equal(output.p, home.path);
	}
	launcher_close(&launcher);
	str_free(&output);
	scratch_close(&home);
}

static void test_a_signal_is_told_as_one(void **state)
{
	struct launcher launcher;
	struct str output = { 0 };
	int status;

	(void)state;
	open_home("#!/bin/sh\nkill -9 $$\n");
	assert_int_equal(launcher_open(&launcher, home.fd, "./program"), 0);
	status = run(&launcher, &output);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
	launcher_close(&launcher);
	str_free(&output);
	scratch_close(&home);
}

static void test_a_program_that_is_not_there_is_an_error(void **state)
{
	struct launcher launcher;
	struct launch launch;

	(void)state;
	open_home(NULL);
	assert_int_equal(launcher_open(&launcher, home.fd, "./program"), 0);
	assert_int_equal(launch_begin(&launch, &launcher), 0);
	assert_int_equal(launch_start(&launch), -1);
	assert_int_equal(errno, ENOENT);
	launch_close(&launch);
	launcher_close(&launcher);
	scratch_close(&home);
}

/* More descriptors than there is room for, or no place of theirs. */
static void test_nonsense_starts_nothing(void **state)
{
	struct launcher launcher;
	struct launch launch;

	(void)state;
	open_home("#!/bin/sh\n:\n");
	assert_int_equal(launcher_open(&launcher, home.fd, "./program"), 0);
	assert_int_equal(launch_begin(&launch, &launcher), 0);
	assert_int_equal(launch_fd(&launch, 2, VIEW("\100")), 0);
	assert_int_equal(launch_start(&launch), -1);
	launch_close(&launch);
	assert_int_equal(launch_begin(&launch, &launcher), 0);
	assert_int_equal(
		launch_fd(&launch, 2, VIEW("\1\2\3\4\5\6\7\10\11\12\13\14")),
		0);
	assert_int_equal(launch_start(&launch), -1);
	launch_close(&launch);
	launcher_close(&launcher);
	scratch_close(&home);
}

static void test_programs_run_side_by_side(void **state)
{
	struct launcher launcher;
	struct launch launches[4];
	int gates[4][2];

	(void)state;
	/* Each waits for its input to end. */
	open_home("#!/bin/sh\ncat >/dev/null\nexit 3\n");
	assert_int_equal(launcher_open(&launcher, home.fd, "./program"), 0);
	for (size_t i = 0; i < COUNT_OF(launches); i++) {
		assert_int_equal(pipe2(gates[i], O_CLOEXEC), 0);
		assert_int_equal(launch_begin(&launches[i], &launcher), 0);
		assert_int_equal(launch_fd(&launches[i], gates[i][0],
					   view_make("\0", 1)),
				 0);
		assert_int_equal(launch_start(&launches[i]), 0);
		close(gates[i][0]);
	}
	for (size_t i = COUNT_OF(launches); i-- > 0;) {
		int status;

		close(gates[i][1]);
		assert_int_equal(launch_wait(&launches[i], &status), 0);
		assert_int_equal(spawn_exit_code(status), 3);
		launch_close(&launches[i]);
	}
	launcher_close(&launcher);
	scratch_close(&home);
}

static void ask_from_inside(void *arg)
{
	static const struct sandbox sandbox = {
		.name = "test",
		.calls = SANDBOX_IO | SANDBOX_PACKET,
	};
	struct launcher launcher;
	struct str output = { 0 };
	int status;

	(void)arg;
	if (launcher_open(&launcher, home.fd, "./program") == -1 ||
	    sandbox_enter(&sandbox) == -1)
		die_errno(255, "test");
	status = run(&launcher, &output);
	if (write(2, output.p, output.len) == -1)
		_exit(255);
	_exit(spawn_exit_code(status));
}

/* in_child() returns when nobody holds descriptor 2: the launcher is gone. */
static void
test_the_program_is_in_no_sandbox_and_the_launcher_ends(void **state)
{
	struct str said = { 0 };

	(void)state;
	open_home("#!/bin/sh\n"
		  "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status\n"
		  "exit 7\n");
	assert_int_equal(in_child(ask_from_inside, NULL, &said), 7);
	assert_str(&said, "NoNewPrivs:\t0\nSeccomp:\t0\n");
	str_free(&said);
	scratch_close(&home);
}

static void test_it_gets_no_descriptor_but_those_named(void **state)
{
	struct launcher launcher;
	struct str output = { 0 };
	int other = open("/dev/zero", O_RDONLY); /* not close-on-exec */

	(void)state;
	open_home("#!/bin/sh\n"
		  "for f in 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do\n"
		  "[ -e /dev/fd/$f ] && readlink /dev/fd/$f; done\ntrue\n");
	assert_int_equal(launcher_open(&launcher, home.fd, "./program"), 0);
	assert_int_equal(run(&launcher, &output), 0);
	/* dash has the script on 10. */
	assert_null(strstr(str_c(&output), "zero"));
	assert_null(strstr(str_c(&output), "socket"));
	launcher_close(&launcher);
	close(other);
	str_free(&output);
	scratch_close(&home);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_the_program_runs_in_the_home_and_its_end_is_told),
		cmocka_unit_test(test_a_signal_is_told_as_one),
		cmocka_unit_test(test_a_program_that_is_not_there_is_an_error),
		cmocka_unit_test(test_nonsense_starts_nothing),
		cmocka_unit_test(test_programs_run_side_by_side),
		cmocka_unit_test(
			test_the_program_is_in_no_sandbox_and_the_launcher_ends),
		cmocka_unit_test(test_it_gets_no_descriptor_but_those_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
