#include "queue/committer.h"

/* cmocka.h wants these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/sig.h"

static char path[64];
static int home = -1;
static int file = -1;

static int make_home(void **state)
{
	(void)state;
	sig_ignore_write_signals();
	snprintf(path, sizeof(path), "/tmp/test_committer.XXXXXX");
	if (!mkdtemp(path))
		return -1;
	home = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	file = openat(home, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (file == -1 || mkdirat(home, "queue", 0700) ||
	    mkdirat(home, "queue/new", 0700) ||
	    mkdirat(home, "queue/new/3", 0700))
		return -1;
	return 0;
}

static int remove_home(void **state)
{
	(void)state;
	close(file);
	unlinkat(home, "queue/new/3", AT_REMOVEDIR);
	unlinkat(home, "queue/new", AT_REMOVEDIR);
	unlinkat(home, "queue", AT_REMOVEDIR);
	unlinkat(home, "file", 0);
	close(home);
	return rmdir(path);
}

struct counted {
	struct commit commit;
	int done;
	int error;
};

static void count(struct commit *commit, int error)
{
	struct counted *counted = (struct counted *)commit;

	counted->done++;
	counted->error = error;
}

static void run_until_done(struct committers *c, struct counted *all, size_t n)
{
	struct polls polls = { 0 };
	int64_t limit = clock_mono_ms() + 20000;

	for (;;) {
		int64_t deadline = limit;
		size_t done = 0;

		for (size_t i = 0; i < n; i++)
			done += all[i].done > 0;
		if (done == n)
			break;
		assert_true(clock_mono_ms() < limit);
		polls_reset(&polls);
		committers_prepare(c, &polls, &deadline);
		assert_int_equal(polls_wait(&polls, deadline), 0);
		committers_act(c, &polls);
	}
	polls_free(&polls);
}

static void test_more_commits_than_committers(void **state)
{
	struct counted all[20] = { 0 };
	struct committers c;

	(void)state;
	assert_int_equal(committers_open(&c, 3, home, file, QSYNC_POSIX), 0);
	for (size_t i = 0; i < COUNT_OF(all); i++) {
		all[i].commit = (struct commit){ .fd = file,
						 .shard = 3,
						 .done = count };
		committers_submit(&c, &all[i].commit);
	}
	run_until_done(&c, all, COUNT_OF(all));
	for (size_t i = 0; i < COUNT_OF(all); i++) {
		assert_int_equal(all[i].done, 1);
		assert_int_equal(all[i].error, 0);
	}
	committers_close(&c);
	assert_int_equal(waitpid(-1, NULL, 0), -1);
	assert_int_equal(errno, ECHILD);
}

static void test_errors_come_back(void **state)
{
	struct counted all[2] = { 0 };
	struct committers c;
	int pipes[2];

	(void)state;
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(committers_open(&c, 2, home, file, QSYNC_POSIX), 0);
	/* A pipe cannot be synced; shard 4 has no folder. */
	all[0].commit =
		(struct commit){ .fd = pipes[1], .shard = 3, .done = count };
	all[1].commit =
		(struct commit){ .fd = file, .shard = 4, .done = count };
	committers_submit(&c, &all[0].commit);
	committers_submit(&c, &all[1].commit);
	run_until_done(&c, all, 2);
	assert_int_equal(all[0].error, EINVAL);
	assert_int_equal(all[1].error, ENOENT);
	committers_close(&c);
	close(pipes[0]);
	close(pipes[1]);
}

static void test_journal_mode_leaves_the_folder_alone(void **state)
{
	struct counted one = { 0 };
	struct committers c;

	(void)state;
	assert_int_equal(committers_open(&c, 1, home, file, QSYNC_JOURNAL), 0);
	one.commit = (struct commit){ .fd = file, .shard = 4, .done = count };
	committers_submit(&c, &one.commit);
	run_until_done(&c, &one, 1);
	assert_int_equal(one.error, 0);
	committers_close(&c);
}

static void test_dead_committer_fails_one_and_is_replaced(void **state)
{
	struct counted all[2] = { 0 };
	struct committers c;
	pid_t before;

	(void)state;
	assert_int_equal(committers_open(&c, 1, home, file, QSYNC_POSIX), 0);
	before = c.list[0].pid;
	assert_int_equal(kill(before, SIGSTOP), 0);
	for (int i = 0; i < 2; i++) {
		all[i].commit = (struct commit){ .fd = file,
						 .shard = 3,
						 .done = count };
		committers_submit(&c, &all[i].commit);
	}
	assert_int_equal(kill(before, SIGKILL), 0);
	run_until_done(&c, all, 2);
	assert_int_equal(all[0].error, EIO);
	assert_int_equal(all[1].error, 0);
	assert_int_not_equal(c.list[0].pid, before);
	committers_close(&c);
}

int main(void)
{
#define AT_HOME(test)                                                          \
	cmocka_unit_test_setup_teardown(test, make_home, remove_home)
	const struct CMUnitTest tests[] = {
		AT_HOME(test_more_commits_than_committers),
		AT_HOME(test_errors_come_back),
		AT_HOME(test_journal_mode_leaves_the_folder_alone),
		AT_HOME(test_dead_committer_fails_one_and_is_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
