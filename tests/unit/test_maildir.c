#include "lib/maildir.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#include "lib/out.h"
#include "lib/record.h"
#include "tests/unit/unit.h"

static struct scratch scratch;
static int dir; /* the Maildir */

/* What the system is to answer to the calls below; 0 lets them through. */
static int link_errno;
static int noreplace_errno;
static int sync_dir_errno;
static int sync_file_errno;
static int exchange_errno;
/* How it stood at each sync of a file: files in new/, and of directories. */
static int seen_in_new[4];
static int file_syncs;
static int dir_syncs;

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
	errno = link_errno;
	return link_errno ? -1
			  : (int)syscall(SYS_linkat, from_fd, from, to_fd, to,
					 flags);
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to,
	      unsigned flags)
{
	errno = flags == RENAME_EXCHANGE ? exchange_errno : noreplace_errno;
	return errno ? -1
		     : (int)syscall(SYS_renameat2, from_fd, from, to_fd, to,
				    flags);
}

int fsync(int fd)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		dir_syncs++;
		errno = sync_dir_errno;
		return errno ? -1 : (int)syscall(SYS_fsync, fd);
	}
	if (dir && (size_t)file_syncs < COUNT_OF(seen_in_new))
		seen_in_new[file_syncs] = scratch_count(&scratch, "M/new");
	file_syncs++;
	errno = sync_file_errno;
	return errno ? -1 : (int)syscall(SYS_fsync, fd);
}

static char disk_bytes[8];
static struct view disks; /* for every delivery */

/* From here on this disk is one where a sync of the file is enough. */
static void use_name_first(void)
{
	struct stat st;

	assert_int_equal(fstat(dir, &st), 0);
	le64_write(disk_bytes, st.st_dev);
	disks = view_make(disk_bytes, sizeof(disk_bytes));
}

static int setup(void **state)
{
	(void)state;
	scratch_open(&scratch);
	assert_int_equal(maildir_make(scratch.fd, "M"), 0);
	dir = openat(scratch.fd, "M", O_RDONLY | O_DIRECTORY);
	file_syncs = dir_syncs = 0;
	return dir == -1;
}

static int teardown(void **state)
{
	(void)state;
	link_errno = noreplace_errno = sync_dir_errno = 0;
	sync_file_errno = exchange_errno = 0;
	disks = (struct view){ 0 };
	close(dir);
	dir = 0;
	scratch_close(&scratch);
	return 0;
}

static void assert_counts(int tmp, int new, int cur)
{
	assert_int_equal(scratch_count(&scratch, "M/tmp"), tmp);
	assert_int_equal(scratch_count(&scratch, "M/new"), new);
	assert_int_equal(scratch_count(&scratch, "M/cur"), cur);
}

/* Deliver content under name; what commit (or begin) says. */
static int deliver(const char *name, const char *content, bool may_repeat,
		   bool *repeated)
{
	struct maildir_file file;

	if (maildir_begin(&file, dir, ".", view_of(name)) == -1)
		return -1;
	file.may_repeat = may_repeat;
	file.disks = disks;
	assert_int_equal(write_all(file.fd, view_of(content)), 0);
	if (maildir_commit(&file) == -1)
		return -1;
	assert_int_equal(file.fd, -1);
	if (repeated)
		*repeated = file.repeated;
	return 0;
}

static void assert_content(const char *name, const char *want)
{
	struct str got = { 0 };

	scratch_read(&scratch, name, &got);
	assert_str(&got, want);
	str_free(&got);
}

static void set_age(const char *name, time_t atime_ago, time_t mtime_ago)
{
	struct timespec times[2] = {
		{ .tv_sec = time(NULL) - atime_ago },
		{ .tv_sec = time(NULL) - mtime_ago },
	};

	assert_int_equal(utimensat(dir, name, times, 0), 0);
}

static void test_names_differ_at_each_call_and_fit_a_file_name(void **state)
{
	static char long_host[300];
	struct str name = { 0 };
	struct str last = { 0 };

	(void)state;
	for (int i = 0; i < 1000; i++) {
		maildir_name(&name, VIEW("a/b:c.example"));
		assert_false(view_eq(str_view(&name), str_view(&last)));
		str_set(&last, str_view(&name));
	}
	assert_true(view_ends(str_view(&name), VIEW(".a\\057b\\072c.example")));
	assert_true(view_has(str_view(&name), 'M'));
	memset(long_host, '/', sizeof(long_host) - 1);
	maildir_name(&name, view_of(long_host));
	assert_true(name.len < 200);
	assert_true(view_ends(str_view(&name), VIEW("\\057")));
	assert_int_equal(deliver(str_c(&name), "x", false, NULL), 0);
	str_free(&name);
	str_free(&last);
}

static void test_a_message_appears_whole_with_its_size(void **state)
{
	struct maildir_file file;
	struct stat st;
	mode_t old = umask(0777);
	bool repeated = true;

	(void)state;
	assert_int_equal(deliver("1.a.h", "hello\n", false, &repeated), 0);
	umask(old);
	assert_false(repeated);
	assert_counts(0, 1, 0);
	assert_content("M/new/1.a.h,S=6", "hello\n");
	assert_int_equal(fstatat(dir, "new/1.a.h,S=6", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_nlink, 1);

	assert_int_equal(maildir_begin(&file, dir, ".", VIEW("2.a.h")), 0);
	assert_int_equal(fcntl(file.fd, F_GETFD), FD_CLOEXEC);
	assert_counts(1, 1, 0);
	errno = EDOM;
	maildir_abort(&file);
	assert_int_equal(errno, EDOM);
	assert_counts(0, 1, 0);
	assert_int_equal(deliver("3.a.h", "", false, NULL), 0);
	assert_content("M/new/3.a.h,S=0", "");
}

static void test_the_same_message_again_is_a_success(void **state)
{
	bool repeated = false;

	(void)state;
	assert_int_equal(deliver("1.a.h", "hello\n", false, NULL), 0);
	assert_int_equal(deliver("1.a.h", "hello\n", false, &repeated), 0);
	assert_true(repeated);
	assert_counts(0, 1, 0);
	/* Seen meanwhile, and not yet searched for. */
	assert_int_equal(
		renameat(dir, "new/1.a.h,S=6", dir, "cur/1.a.h,S=6:2,RS"), 0);
	assert_int_equal(deliver("1.a.h", "hello\n", true, &repeated), 0);
	assert_true(repeated);
	assert_counts(0, 0, 1);
	/* Another length is another message. */
	assert_int_equal(deliver("1.a.h", "hello!\n", true, &repeated), 0);
	assert_false(repeated);
	assert_counts(0, 1, 1);
	assert_int_equal(deliver("1.a", "hello\n", true, &repeated), 0);
	assert_false(repeated);
}

static void test_a_name_with_other_content_is_in_the_way(void **state)
{
	static const char *const others[] = { "other\n", "hellO", "hello\nx",
					      "\n" };

	(void)state;
	for (size_t i = 0; i < 2 * COUNT_OF(others); i++) {
		if (i == COUNT_OF(others))
			use_name_first();
		scratch_write(&scratch, "M/new/1.a.h,S=6",
			      view_of(others[i % COUNT_OF(others)]));
		assert_int_equal(deliver("1.a.h", "hello\n", true, NULL), -1);
		assert_int_equal(errno, EEXIST);
		assert_counts(0, 1, 0);
		assert_content("M/new/1.a.h,S=6", others[i % COUNT_OF(others)]);
	}
	unlinkat(dir, "new/1.a.h,S=6", 0);
	assert_int_equal(symlinkat("/etc/passwd", dir, "new/1.a.h,S=6"), 0);
	assert_int_equal(deliver("1.a.h", "hello\n", false, NULL), -1);
	assert_int_equal(errno, EEXIST);
	unlinkat(dir, "new/1.a.h,S=6", 0);
	assert_int_equal(mkfifoat(dir, "new/1.a.h,S=6", 0600), 0);
	assert_int_equal(deliver("1.a.h", "hello\n", false, NULL), -1);
	assert_int_equal(errno, EEXIST);
	assert_counts(0, 1, 0);
}

/* What a power cut leaves of `hello\n`. */
static const struct view damaged[] = {
	{ "", 0 },          { "hell", 4 },  { "\0\0\0\0\0\0", 6 },
	{ "hel\0\0\0", 6 }, { "\0\0l", 3 }, { "hello\0", 6 },
};

static void check_damage_in_new(void)
{
	bool repeated;

	for (size_t i = 0; i < COUNT_OF(damaged); i++) {
		repeated = false;
		scratch_write(&scratch, "M/new/1.a.h,S=6", damaged[i]);
		assert_int_equal(deliver("1.a.h", "hello\n", i % 2, &repeated),
				 0);
		assert_true(repeated);
		assert_counts(0, 1, 0);
		assert_content("M/new/1.a.h,S=6", "hello\n");
	}
	unlinkat(dir, "new/1.a.h,S=6", 0);
}

static void test_what_a_power_cut_damaged_is_replaced(void **state)
{
	(void)state;
	check_damage_in_new();
	use_name_first();
	file_syncs = dir_syncs = 0;
	check_damage_in_new();
	assert_int_equal(file_syncs, COUNT_OF(damaged));
	assert_int_equal(dir_syncs, COUNT_OF(damaged));
	exchange_errno = EINVAL; /* no such thing here */
	check_damage_in_new();
	/* Nothing is said to be delivered that is not durable. */
	scratch_write(&scratch, "M/new/1.a.h,S=6", damaged[0]);
	sync_file_errno = EIO;
	assert_int_equal(deliver("1.a.h", "hello\n", true, NULL), -1);
	assert_int_equal(errno, EIO);
	sync_file_errno = 0;
	sync_dir_errno = EDQUOT;
	assert_int_equal(deliver("1.a.h", "hello\n", true, NULL), -1);
	assert_int_equal(errno, EDQUOT);
	assert_counts(0, 1, 0);
}

static void only_file_in_new(struct str *name)
{
	int fd = openat(dir, "new", O_RDONLY | O_DIRECTORY);
	DIR *new = fdopendir(fd);
	struct dirent *entry;

	assert_non_null(new);
	while ((entry = readdir(new)))
		if (entry->d_name[0] != '.')
			str_set_c(name, entry->d_name);
	closedir(new);
}

static void unlink_in_new(const char *name)
{
	int fd = openat(dir, "new", O_RDONLY | O_DIRECTORY);

	assert_int_equal(unlinkat(fd, name, 0), 0);
	close(fd);
}

static void
test_damage_that_a_reader_has_taken_becomes_a_new_message(void **state)
{
	bool repeated;

	(void)state;
	for (size_t i = 0; i < 2 * COUNT_OF(damaged); i++) {
		struct str name = { 0 };

		if (i == COUNT_OF(damaged))
			use_name_first();
		scratch_write(&scratch, "M/cur/1.a.h,S=6:2,S",
			      damaged[i % COUNT_OF(damaged)]);
		assert_int_equal(deliver("1.a.h", "hello\n", true, &repeated),
				 0);
		assert_false(repeated);
		assert_counts(0, 1, 0);
		/* Clients that know the damaged one by name look at this. */
		assert_false(scratch_has(&scratch, "M/new/1.a.h,S=6"));
		only_file_in_new(&name);
		assert_true(view_starts(str_view(&name), VIEW("1.a.h.M")));
		assert_true(view_ends(str_view(&name), VIEW(",S=6")));
		unlink_in_new(str_c(&name));
		str_free(&name);
	}
}

/* A reader may have taken a file to cur/ that was never synced. */
static void test_a_repeated_message_trusts_no_earlier_sync(void **state)
{
	struct timespec times[2] = { { .tv_sec = 5 }, { .tv_sec = 7 } };
	struct stat before;
	struct stat st;
	bool repeated;

	(void)state;
	use_name_first();
	assert_int_equal(deliver("1.a.h", "hello\n", true, NULL), 0);
	assert_int_equal(
		renameat(dir, "new/1.a.h,S=6", dir, "cur/1.a.h,S=6:2,FS"), 0);
	assert_int_equal(utimensat(dir, "cur/1.a.h,S=6:2,FS", times, 0), 0);
	assert_int_equal(fstatat(dir, "cur/1.a.h,S=6:2,FS", &before, 0), 0);
	file_syncs = dir_syncs = 0;
	assert_int_equal(deliver("1.a.h", "hello\n", true, &repeated), 0);
	assert_true(repeated);
	assert_counts(0, 0, 1);
	assert_int_equal(fstatat(dir, "cur/1.a.h,S=6:2,FS", &st, 0), 0);
	assert_int_not_equal(st.st_ino, before.st_ino);
	assert_int_equal(st.st_mtim.tv_sec, 7);
	assert_int_equal(file_syncs, 1);
	assert_int_equal(dir_syncs, 1);
}

static void test_where_one_sync_is_enough_the_name_comes_first(void **state)
{
	bool repeated = true;

	(void)state;
	file_syncs = dir_syncs = 0;
	assert_int_equal(deliver("1.a.h", "hello\n", false, NULL), 0);
	assert_int_equal(file_syncs, 1);
	assert_int_equal(seen_in_new[0], 0); /* content first */
	assert_int_equal(dir_syncs, 1);
	use_name_first();
	file_syncs = dir_syncs = 0;
	assert_int_equal(deliver("2.a.h", "hello\n", false, &repeated), 0);
	assert_false(repeated);
	assert_int_equal(file_syncs, 1);
	assert_int_equal(seen_in_new[0], 2);
	assert_int_equal(dir_syncs, 0);
	assert_content("M/new/2.a.h,S=6", "hello\n");
	assert_counts(0, 2, 0);
	/* A list of other disks is none. */
	le64_write(disk_bytes, 0);
	file_syncs = dir_syncs = 0;
	assert_int_equal(deliver("3.a.h", "hello\n", false, NULL), 0);
	assert_int_equal(seen_in_new[0], 2);
	assert_int_equal(dir_syncs, 1);
}

static void test_a_failed_sync_takes_the_name_back(void **state)
{
	(void)state;
	use_name_first();
	sync_file_errno = EIO;
	file_syncs = dir_syncs = 0;
	assert_int_equal(deliver("1.a.h", "hello\n", false, NULL), -1);
	assert_int_equal(errno, EIO);
	assert_int_equal(file_syncs, 1); /* and never again */
	assert_int_equal(dir_syncs, 0);
	assert_counts(0, 0, 0);
}

static void test_what_is_open_for_writing_is_not_cleaned(void **state)
{
	struct maildir_file file;

	(void)state;
	assert_int_equal(maildir_begin(&file, dir, ".", VIEW("1.a.h")), 0);
	set_age("tmp/1.a.h", 40 * 3600, 40 * 3600);
	maildir_clean(dir);
	assert_counts(1, 0, 0);
	close(file.fd);
	file.fd = -1;
	maildir_clean(dir);
	assert_counts(0, 0, 0);
	maildir_abort(&file);
}

static void test_whatever_lies_in_tmp_is_left_alone(void **state)
{
	(void)state;
	scratch_write(&scratch, "victim", VIEW("keep"));
	assert_int_equal(symlinkat("../../victim", dir, "tmp/1.a.h"), 0);
	scratch_write(&scratch, "M/tmp/2.a.h", VIEW("half"));
	assert_int_equal(linkat(scratch.fd, "victim", dir, "tmp/3.a.h", 0), 0);
	assert_int_equal(symlinkat("none", dir, "tmp/4.a.h"), 0);
	assert_int_equal(deliver("1.a.h", "1\n", false, NULL), 0);
	assert_int_equal(deliver("2.a.h", "2\n", false, NULL), 0);
	assert_int_equal(deliver("3.a.h", "3\n", false, NULL), 0);
	assert_int_equal(deliver("4.a.h", "4\n", false, NULL), 0);
	assert_counts(4, 4, 0);
	assert_content("victim", "keep");
	assert_content("M/tmp/2.a.h", "half");
	assert_content("M/new/2.a.h,S=2", "2\n");
	assert_false(scratch_has(&scratch, "M/tmp/none"));
}

static void test_folders_that_are_links_are_refused(void **state)
{
	static const char *const names[] = { "tmp", "new" };

	(void)state;
	assert_int_equal(mkdirat(scratch.fd, "other", 0700), 0);
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		assert_int_equal(renameat(dir, names[i], dir, "away"), 0);
		assert_int_equal(deliver("1.a.h", "x", false, NULL), -1);
		assert_int_equal(errno, ENOENT);
		assert_int_equal(symlinkat("../other", dir, names[i]), 0);
		assert_int_equal(deliver("1.a.h", "x", false, NULL), -1);
		assert_true(errno == ENOTDIR || errno == ELOOP);
		assert_int_equal(scratch_count(&scratch, "other"), 0);
		assert_int_equal(unlinkat(dir, names[i], 0), 0);
		assert_int_equal(renameat(dir, "away", dir, names[i]), 0);
	}
	assert_counts(0, 0, 0);
}

/* A link that is put there between begin and commit changes nothing. */
static void test_folders_cannot_be_exchanged_on_the_way(void **state)
{
	struct maildir_file file;

	(void)state;
	assert_int_equal(mkdirat(scratch.fd, "other", 0700), 0);
	assert_int_equal(maildir_begin(&file, dir, ".", VIEW("1.a.h")), 0);
	assert_int_equal(renameat(dir, "new", dir, "away"), 0);
	assert_int_equal(symlinkat("../other", dir, "new"), 0);
	assert_int_equal(maildir_commit(&file), 0);
	assert_int_equal(scratch_count(&scratch, "other"), 0);
	assert_int_equal(scratch_count(&scratch, "M/away"), 1);
}

static void test_names_that_would_leave_the_folder_are_refused(void **state)
{
	static const struct view names[] = {
		{ "", 0 },    { ".x", 2 },   { "../x", 4 },
		{ "a/b", 3 }, { "a:2,", 4 }, { "a\0b", 3 },
	};
	struct maildir_file file;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		assert_int_equal(maildir_begin(&file, dir, ".", names[i]), -1);
		assert_int_equal(errno, EINVAL);
	}
}

static void deliver_on_a_full_disk(void *arg)
{
	struct rlimit limit = { 3, 3 };
	struct maildir_file file;

	(void)arg;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
	if (maildir_begin(&file, dir, ".", VIEW("1.a.h")) == -1)
		_exit(1);
	if (write_all(file.fd, VIEW("hello\n")) == 0 || errno != EFBIG)
		_exit(2);
	maildir_abort(&file);
	if (errno != EFBIG)
		_exit(3);
}

static void test_failures_leave_nothing(void **state)
{
	struct maildir_file file;
	struct str said = { 0 };

	(void)state;
	assert_int_equal(in_child(deliver_on_a_full_disk, NULL, &said), 0);
	assert_counts(0, 0, 0);
	/* The temporary file vanished: there is nothing to link. */
	assert_int_equal(maildir_begin(&file, dir, ".", VIEW("1.a.h")), 0);
	assert_int_equal(unlinkat(dir, "tmp/1.a.h", 0), 0);
	assert_int_equal(maildir_commit(&file), -1);
	assert_int_equal(errno, ENOENT);
	/* What cannot be synced is not shown. */
	assert_int_equal(maildir_begin(&file, dir, ".", VIEW("1.a.h")), 0);
	close(file.fd);
	file.fd = open("/dev/null", O_PATH);
	assert_int_equal(maildir_commit(&file), -1);
	assert_int_equal(errno, EBADF);
	assert_counts(0, 0, 0);
	str_free(&said);
}

static void test_where_links_are_impossible_the_file_is_renamed(void **state)
{
	static const int reasons[] = { EXDEV, EPERM, EMLINK, EOPNOTSUPP };
	static const int no_flag[] = { 0, EINVAL, ENOSYS };
	bool repeated;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(reasons); i++) {
		for (size_t j = 0; j < COUNT_OF(no_flag); j++) {
			link_errno = reasons[i];
			noreplace_errno = no_flag[j];
			assert_int_equal(
				deliver("1.a.h", "hello\n", false, &repeated),
				0);
			assert_false(repeated);
			assert_content("M/new/1.a.h,S=6", "hello\n");
			assert_int_equal(
				deliver("1.a.h", "hello\n", false, &repeated),
				0);
			assert_true(repeated);
			assert_content("M/new/1.a.h,S=6", "hello\n");
			assert_counts(0, 1, 0);
			unlinkat(dir, "new/1.a.h,S=6", 0);
		}
	}
	link_errno = ENOSPC;
	assert_int_equal(deliver("1.a.h", "hello\n", false, NULL), -1);
	assert_int_equal(errno, ENOSPC);
	link_errno = EPERM;
	noreplace_errno = EACCES;
	assert_int_equal(deliver("1.a.h", "hello\n", false, NULL), -1);
	assert_int_equal(errno, EACCES);
	assert_counts(0, 0, 0);
}

static void test_a_name_that_is_not_durable_is_no_delivery(void **state)
{
	(void)state;
	sync_dir_errno = EIO;
	assert_int_equal(deliver("1.a.h", "hello\n", false, NULL), -1);
	assert_int_equal(errno, EIO);
	assert_counts(0, 0, 0);
	/* But what an earlier try delivered is not taken away. */
	sync_dir_errno = 0;
	assert_int_equal(deliver("1.a.h", "hello\n", false, NULL), 0);
	sync_dir_errno = EIO;
	assert_int_equal(deliver("1.a.h", "hello\n", true, NULL), -1);
	assert_int_equal(errno, EIO);
	assert_counts(0, 1, 0);
	assert_int_equal(maildir_make(scratch.fd, "D"), -1);
	assert_int_equal(errno, EIO);
	assert_false(scratch_has(&scratch, "D"));
}

static void test_make_creates_private_folders_or_nothing(void **state)
{
	static const char *const names[] = { "D", "D/tmp", "D/new", "D/cur" };
	mode_t old = umask(0277);
	struct stat st;

	(void)state;
	assert_int_equal(maildir_make(scratch.fd, "D"), 0);
	umask(old);
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		assert_int_equal(fstatat(scratch.fd, names[i], &st, 0), 0);
		assert_int_equal(st.st_mode & 07777, 0700);
	}
	assert_int_equal(maildir_make(scratch.fd, "D"), -1);
	assert_int_equal(errno, EEXIST);
	assert_true(scratch_has(&scratch, "D/tmp"));
	assert_int_equal(maildir_make(scratch.fd, "none/D"), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(maildir_make(scratch.fd, "D/.Sub"), 0);
	assert_true(scratch_has(&scratch, "D/.Sub/cur"));
}

static void test_clean_removes_only_what_is_old_in_both_times(void **state)
{
	time_t old = 36 * 3600 + 60;
	time_t young = 36 * 3600 - 60;

	(void)state;
	scratch_write(&scratch, "M/tmp/old", VIEW("x"));
	scratch_write(&scratch, "M/tmp/read", VIEW("x"));
	scratch_write(&scratch, "M/tmp/written", VIEW("x"));
	scratch_write(&scratch, "M/tmp/.hidden", VIEW("x"));
	scratch_write(&scratch, "M/new/old", VIEW("x"));
	assert_int_equal(mkdirat(dir, "tmp/folder", 0700), 0);
	set_age("tmp/old", old, old);
	set_age("tmp/read", young, old);
	set_age("tmp/written", old, young);
	set_age("tmp/.hidden", old, old);
	set_age("tmp/folder", old, old);
	set_age("new/old", old, old);
	maildir_clean(dir);
	assert_false(scratch_has(&scratch, "M/tmp/old"));
	assert_true(scratch_has(&scratch, "M/tmp/read"));
	assert_true(scratch_has(&scratch, "M/tmp/written"));
	assert_true(scratch_has(&scratch, "M/tmp/.hidden"));
	assert_true(scratch_has(&scratch, "M/tmp/folder"));
	assert_true(scratch_has(&scratch, "M/new/old"));
	maildir_clean(scratch.fd); /* no tmp here: nothing happens */
}

/* Processes that deliver at once lose nothing and mix nothing. */
static void test_many_deliverers_lose_nothing(void **state)
{
	struct str name = { 0 };

	(void)state;
	for (int child = 0; child < 4; child++) {
		pid_t pid = fork();

		assert_int_not_equal(pid, -1);
		if (pid)
			continue;
		for (int i = 0; i < 50; i++) {
			maildir_name(&name, VIEW("h"));
			if (deliver(str_c(&name), "message\n", i % 2, NULL))
				_exit(1);
		}
		_exit(0);
	}
	for (int child = 0; child < 4; child++) {
		int status;

		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	assert_counts(0, 200, 0);
	str_free(&name);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_names_differ_at_each_call_and_fit_a_file_name),
		CASE(test_a_message_appears_whole_with_its_size),
		CASE(test_the_same_message_again_is_a_success),
		CASE(test_a_name_with_other_content_is_in_the_way),
		CASE(test_what_a_power_cut_damaged_is_replaced),
		CASE(test_damage_that_a_reader_has_taken_becomes_a_new_message),
		CASE(test_a_repeated_message_trusts_no_earlier_sync),
		CASE(test_where_one_sync_is_enough_the_name_comes_first),
		CASE(test_a_failed_sync_takes_the_name_back),
		CASE(test_what_is_open_for_writing_is_not_cleaned),
		CASE(test_whatever_lies_in_tmp_is_left_alone),
		CASE(test_folders_that_are_links_are_refused),
		CASE(test_folders_cannot_be_exchanged_on_the_way),
		CASE(test_names_that_would_leave_the_folder_are_refused),
		CASE(test_failures_leave_nothing),
		CASE(test_where_links_are_impossible_the_file_is_renamed),
		CASE(test_a_name_that_is_not_durable_is_no_delivery),
		CASE(test_make_creates_private_folders_or_nothing),
		CASE(test_clean_removes_only_what_is_old_in_both_times),
		CASE(test_many_deliverers_lose_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
