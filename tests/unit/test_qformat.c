#include "lib/qformat.h"

/* cmocka.h wants these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/durable.h"

#define IDENTITY "0123456789abcdef0123456789abcdef"

struct home {
	char path[64];
	int fd;
};

static int make_home(void **state)
{
	static struct home home;

	snprintf(home.path, sizeof(home.path), "/tmp/test_qformat.XXXXXX");
	if (!mkdtemp(home.path))
		return -1;
	home.fd = open(home.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	*state = &home;
	return mkdirat(home.fd, "control", 0755);
}

static int remove_one(const char *path, const struct stat *st, int kind,
		      struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

static int remove_home(void **state)
{
	struct home *home = *state;

	close(home->fd);
	return nftw(home->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void test_texts(void **state)
{
	static const struct {
		const char *label;
		const char *text;
		enum qformat_result want;
	} cases[] = {
		{ "complete",
		  "valija-queue 1\nsplit 23\nsync posix\nidentity " IDENTITY
		  "\n",
		  QFORMAT_OK },
		{ "no last newline",
		  "valija-queue 1\nsplit 23\nidentity " IDENTITY, QFORMAT_OK },
		{ "unknown line",
		  "valija-queue 1\nsplit 1\ncolour red\nidentity " IDENTITY
		  "\n",
		  QFORMAT_OK },
		{ "empty", "", QFORMAT_ERROR },
		{ "another word",
		  "qmail-queue 1\nsplit 23\nidentity " IDENTITY "\n",
		  QFORMAT_ERROR },
		{ "version 0",
		  "valija-queue 0\nsplit 23\nidentity " IDENTITY "\n",
		  QFORMAT_ERROR },
		{ "version 2", "valija-queue 2\nwhatever", QFORMAT_NEWER },
		{ "huge version", "valija-queue 18446744073709551616\n",
		  QFORMAT_ERROR },
		{ "no split", "valija-queue 1\nidentity " IDENTITY "\n",
		  QFORMAT_ERROR },
		{ "split 0", "valija-queue 1\nsplit 0\nidentity " IDENTITY "\n",
		  QFORMAT_ERROR },
		{ "split too large",
		  "valija-queue 1\nsplit 100001\nidentity " IDENTITY "\n",
		  QFORMAT_ERROR },
		{ "split no number",
		  "valija-queue 1\nsplit 2x\nidentity " IDENTITY "\n",
		  QFORMAT_ERROR },
		{ "no identity", "valija-queue 1\nsplit 23\n", QFORMAT_ERROR },
		{ "short identity", "valija-queue 1\nsplit 23\nidentity 0123\n",
		  QFORMAT_ERROR },
		{ "identity with a slash",
		  "valija-queue 1\nsplit 23\n"
		  "identity 0123456789abcdef0123456789abcde/\n",
		  QFORMAT_ERROR },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct qformat format;

		if (qformat_parse(view_of(cases[i].text), &format) !=
		    cases[i].want)
			fail_msg("%s", cases[i].label);
	}
}

static void test_sync_is_posix_unless_journal(void **state)
{
	static const struct {
		const char *line;
		enum qsync want;
	} cases[] = {
		{ "sync journal\n", QSYNC_JOURNAL },
		{ "sync posix\n", QSYNC_POSIX },
		{ "sync journal \n", QSYNC_POSIX },
		{ "sync perhaps\n", QSYNC_POSIX },
		{ "", QSYNC_POSIX },
	};
	struct str text = { 0 };
	struct qformat format;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		str_reset(&text);
		str_appendf(&text, "valija-queue 1\nsplit 23\n%sidentity %s\n",
			    cases[i].line, IDENTITY);
		assert_int_equal(qformat_parse(str_view(&text), &format),
				 QFORMAT_OK);
		assert_int_equal(format.sync, cases[i].want);
		assert_int_equal(format.split, 23);
		assert_string_equal(format.identity, IDENTITY);
	}
	str_free(&text);
}

static void test_path_is_folder_shard_id(void **state)
{
	struct qformat format = { .split = 23 };
	struct str path = { 0 };

	(void)state;
	str_set_c(&path, "something else");
	qformat_path(&format, &path, "mess", 1795338523000001U);
	assert_string_equal(str_c(&path), "queue/mess/22/1795338523000001");
	qformat_path(&format, &path, "pid", 22);
	assert_string_equal(str_c(&path), "queue/pid/22/22");
	str_free(&path);
}

static mode_t mode_of(struct home *home, const char *path)
{
	struct stat st;

	if (fstatat(home->fd, path, &st, AT_SYMLINK_NOFOLLOW) == -1)
		fail_msg("%s: %s", path, strerror(errno));
	return st.st_mode;
}

static void test_create_makes_everything_once(void **state)
{
	struct home *home = *state;
	struct qformat first;
	struct qformat second;

	assert_int_equal(qformat_load(home->fd, &first), QFORMAT_ABSENT);
	umask(077);
	assert_int_equal(qformat_create(home->fd, 3), 0);
	assert_int_equal(qformat_load(home->fd, &first), QFORMAT_OK);
	assert_int_equal(first.split, 3);
	assert_int_equal(mode_of(home, "queue"), S_IFDIR | 0755);
	assert_int_equal(mode_of(home, "queue/pid/2"), S_IFDIR | 0700);
	assert_int_equal(mode_of(home, "queue/new/0"), S_IFDIR | 0770);
	assert_int_equal(mode_of(home, "queue/mess/1"), S_IFDIR | 0770);
	assert_int_equal(mode_of(home, "queue/bounce/2"), S_IFDIR | 0700);
	assert_int_equal(mode_of(home, "queue/bad"), S_IFDIR | 0770);
	assert_int_equal(mode_of(home, "queue/socket"), S_IFDIR | 0755);
	assert_int_equal(mode_of(home, "queue/lock"), S_IFDIR | 0711);
	assert_int_equal(mode_of(home, "queue/lock/trigger"), S_IFIFO | 0620);
	assert_int_equal(mode_of(home, "queue/format"), S_IFREG | 0644);
	assert_int_equal(faccessat(home->fd, "queue/mess/3", F_OK, 0), -1);

	/* Again, with another split: what is there rules. */
	assert_int_equal(qformat_create(home->fd, 5), 0);
	assert_int_equal(qformat_load(home->fd, &second), QFORMAT_OK);
	assert_int_equal(second.split, 3);
	assert_string_equal(second.identity, first.identity);
	assert_int_equal(faccessat(home->fd, "queue/mess/3", F_OK, 0), -1);
}

static void test_newer_queue_is_not_touched(void **state)
{
	struct home *home = *state;
	struct qformat format;

	assert_int_equal(mkdirat(home->fd, "queue", 0755), 0);
	assert_int_equal(durable_replace(home->fd, "queue/format",
					 VIEW("valija-queue 2\n"), 0644),
			 0);
	assert_int_equal(qformat_load(home->fd, &format), QFORMAT_NEWER);
	assert_int_equal(qformat_create(home->fd, 23), -1);
	assert_int_equal(faccessat(home->fd, "queue/mess", F_OK, 0), -1);
}

static void test_queuesync_posix_rules(void **state)
{
	struct home *home = *state;
	struct qformat format;

	assert_int_equal(mkdirat(home->fd, "queue", 0755), 0);
	assert_int_equal(
		durable_replace(home->fd, "queue/format",
				VIEW("valija-queue 1\nsplit 1\nsync journal\n"
				     "identity " IDENTITY "\n"),
				0644),
		0);
	assert_int_equal(qformat_load(home->fd, &format), QFORMAT_OK);
	assert_int_equal(format.sync, QSYNC_JOURNAL);
	assert_int_equal(durable_replace(home->fd, "control/queuesync",
					 VIEW("posix\n"), 0644),
			 0);
	assert_int_equal(qformat_load(home->fd, &format), QFORMAT_OK);
	assert_int_equal(format.sync, QSYNC_POSIX);
	/* Unreadable: an error, not a default. */
	assert_int_equal(unlinkat(home->fd, "control/queuesync", 0), 0);
	assert_int_equal(mkdirat(home->fd, "control/queuesync", 0755), 0);
	assert_int_equal(qformat_load(home->fd, &format), QFORMAT_ERROR);
}

static void test_file_system_without_promise_is_posix(void **state)
{
	int proc = open("/proc", O_PATH | O_CLOEXEC);

	(void)state;
	assert_int_equal(qformat_probe_sync(proc), QSYNC_POSIX);
	close(proc);
	assert_int_equal(qformat_probe_sync(-1), QSYNC_POSIX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_sync_is_posix_unless_journal),
		cmocka_unit_test(test_path_is_folder_shard_id),
		cmocka_unit_test_setup_teardown(
			test_create_makes_everything_once, make_home,
			remove_home),
		cmocka_unit_test_setup_teardown(test_newer_queue_is_not_touched,
						make_home, remove_home),
		cmocka_unit_test_setup_teardown(test_queuesync_posix_rules,
						make_home, remove_home),
		cmocka_unit_test(test_file_system_without_promise_is_posix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
