#include "lib/maildir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/disks.h"
#include "lib/durable.h"
#include "lib/mutant.h"

#define CLEAN_AFTER_S 129600 /* 36 hours */
#define HOST_MAX_BYTES 160   /* a file name has 255, `,S=` and flags included */
#define TEMP_TRIES 10
#define SEARCH_TRIES 5

/* Microseconds now, but never the same twice in one process. */
static int64_t unique_us(void)
{
	static int64_t last_us;
	int64_t us = clock_wall_us();

	if (us <= last_us)
		us = last_us + 1;
	last_us = us;
	return us;
}

static void append_host(struct str *name, struct view host)
{
	size_t start = name->len;

	for (size_t i = 0; i < host.len; i++) {
		char c = host.p[i];

		if (name->len - start > HOST_MAX_BYTES - 4)
			return;
		if (c > ' ' && c <= '~' && c != '/' && c != ':')
			str_append_byte(name, c);
		else
			str_appendf(name, "\\%03o", (unsigned char)c);
	}
}

void maildir_name(struct str *name, struct view host)
{
	int64_t us = unique_us();

	str_reset(name);
	str_appendf(name, "%lld.M%06lldP%ld.", (long long)(us / 1000000),
		    (long long)(us % 1000000), (long)getpid());
	append_host(name, host);
}

static int close_keeping_errno(int fd)
{
	int error = errno;

	if (fd != -1)
		close(fd);
	errno = error;
	return -1;
}

static void close_fd(int *fd)
{
	if (*fd != -1)
		close(*fd);
	*fd = -1;
}

/* A folder of the Maildir itself: a link might lead into another's. */
static int open_folder(int dirfd, const char *name)
{
	return openat(dirfd, name,
		      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Close and free everything; keeps errno. */
static void release(struct maildir_file *file)
{
	int error = errno;

	close_fd(&file->fd);
	close_fd(&file->new_fd);
	str_free(&file->name);
	str_free(&file->temp);
	errno = error;
}

/* ---- the temporary file ---- */

/* tmp/ stands beside new/, which is open. It may be no link, either. */
static int create(int new_fd, const char *temp)
{
	struct open_how how = {
		.flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		.mode = 0600,
		.resolve = RESOLVE_NO_SYMLINKS,
	};
	struct stat st;
	int fd = (int)syscall(SYS_openat2, new_fd, temp, &how, sizeof(how));

	if (fd != -1 || errno != ENOSYS)
		return fd;
	/* Before Linux 5.6. */
	if (fstatat(new_fd, "../tmp", &st, AT_SYMLINK_NOFOLLOW) == -1)
		return -1;
	if (!S_ISDIR(st.st_mode)) {
		errno = ENOTDIR;
		return -1;
	}
	return openat(new_fd, temp, (int)how.flags, (mode_t)how.mode);
}

/*
 * Create tmp/NAME. Where that is taken, by a delivery that died or by one
 * that lives, both must be left alone: a longer name then.
 */
static int create_temp(struct maildir_file *file)
{
	for (int tries = 0; tries < TEMP_TRIES; tries++) {
		str_set(&file->temp, VIEW("../tmp/"));
		str_append(&file->temp, str_view(&file->name));
		if (tries)
			str_appendf(&file->temp, ".M%lldP%ld",
				    (long long)unique_us(), (long)getpid());
		file->fd = create(file->new_fd, str_c(&file->temp));
		if (file->fd != -1 || errno != EEXIST)
			break;
	}
	return file->fd == -1 ? -1 : 0;
}

static int open_new(int dirfd, const char *path)
{
	struct str name = { 0 };
	int fd;
	int error;

	str_set_c(&name, path);
	str_append_c(&name, "/new");
	fd = open_folder(dirfd, str_c(&name));
	error = errno;
	str_free(&name);
	errno = error;
	return fd;
}

int maildir_begin(struct maildir_file *file, int dirfd, const char *path,
		  struct view name)
{
	*file = (struct maildir_file){ .fd = -1, .new_fd = -1 };
	if (name.len == 0 || name.p[0] == '.' || view_has(name, '/') ||
	    view_has(name, ':') || view_has(name, '\0')) {
		errno = EINVAL;
		return -1;
	}
	str_set(&file->name, name);
	file->new_fd = open_new(dirfd, path);
	if (file->new_fd == -1 || create_temp(file) == -1) {
		maildir_abort(file);
		return -1;
	}
	return 0;
}

static void remove_temp(struct maildir_file *file)
{
	unlinkat(file->new_fd, str_c(&file->temp), 0);
}

void maildir_abort(struct maildir_file *file)
{
	int error = errno;

	if (file->fd != -1)
		remove_temp(file);
	errno = error;
	release(file);
}

/* ---- its name ---- */

/* rename() that does not replace, also where the system has no such thing. */
static int move_temp(struct maildir_file *file, const char *name)
{
	struct stat st;

	if (renameat2(file->new_fd, str_c(&file->temp), file->new_fd, name,
		      RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	if (fstatat(file->new_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		errno = EEXIST;
		return -1;
	}
	if (errno != ENOENT)
		return -1;
	return renameat(file->new_fd, str_c(&file->temp), file->new_fd, name);
}

/* Give the synced file its name, where that is synced next. */
static int link_temp(struct maildir_file *file, const char *name)
{
	if (linkat(file->new_fd, str_c(&file->temp), file->new_fd, name, 0) ==
	    0) {
		/* One that stays behind costs room, until it is cleaned. */
		remove_temp(file);
		return 0;
	}
	switch (errno) {
	case EXDEV:
	case EPERM:
	case EMLINK:
	case EOPNOTSUPP:
	case ENOSYS:
		return move_temp(file, name);
	default:
		return -1;
	}
}

/* Take the name back, unless it leads to another delivery's file by now. */
static void withdraw(struct maildir_file *file, const char *name)
{
	int error = errno;
	struct stat ours;
	struct stat st;

	if (fstat(file->fd, &ours) == 0 &&
	    fstatat(file->new_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_ino == ours.st_ino && st.st_dev == ours.st_dev)
		unlinkat(file->new_fd, name, 0);
	errno = error;
}

/* ---- an earlier file of the same delivery ---- */

enum earlier {
	EARLIER_SAME,
	EARLIER_DAMAGED, /* what a power cut leaves: its end missing, or NULs */
	EARLIER_OTHER,   /* not ours: no word about this message */
	EARLIER_ERROR,   /* errno says why */
};

/* Do `count` bytes say the same, but for NULs in theirs? */
static enum earlier compare_bytes(const char *ours, const char *theirs,
				  size_t count)
{
	enum earlier result = EARLIER_SAME;

	for (size_t i = 0; i < count; i++) {
		if (ours[i] == theirs[i])
			continue;
		if (theirs[i])
			return EARLIER_OTHER;
		result = EARLIER_DAMAGED;
	}
	return result;
}

static ssize_t read_at(int fd, char *to, size_t size, off_t at)
{
	ssize_t got;

	do
		got = pread(fd, to, size, at);
	while (got == -1 && errno == EINTR);
	return got;
}

static enum earlier compare_content(int ours, int theirs, off_t size)
{
	enum earlier result = EARLIER_SAME;
	char space[2][8192];

	for (off_t at = 0; at < size;) {
		ssize_t want = read_at(ours, space[0], sizeof(space[0]), at);
		ssize_t got =
			want <= 0 ? -1
				  : read_at(theirs, space[1], (size_t)want, at);

		if (want == 0)
			errno = EIO;
		if (got == -1)
			return EARLIER_ERROR;
		if (got == 0)
			return EARLIER_DAMAGED;
		switch (compare_bytes(space[0], space[1], (size_t)got)) {
		case EARLIER_SAME:
			break;
		case EARLIER_DAMAGED:
			result = EARLIER_DAMAGED;
			break;
		case EARLIER_OTHER:
		case EARLIER_ERROR:
			return EARLIER_OTHER;
		}
		at += got;
	}
	return result;
}

/* What the file of this name in that folder is to ours. */
static enum earlier compare(const struct maildir_file *file, off_t size,
			    int folder_fd, const char *name)
{
	enum earlier result = EARLIER_OTHER;
	struct stat st;
	int fd = openat(folder_fd, name,
			O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd == -1)
		return errno == ELOOP || errno == ENXIO ? EARLIER_OTHER
							: EARLIER_ERROR;
	if (fstat(fd, &st) == -1)
		result = EARLIER_ERROR;
	else if (S_ISREG(st.st_mode) && st.st_size <= size)
		result = compare_content(file->fd, fd, size);
	/* It arrived when it arrived. */
	if (result == EARLIER_SAME) {
		struct timespec times[2] = { st.st_atim, st.st_mtim };

		if (futimens(file->fd, times) == -1)
			result = EARLIER_ERROR;
	}
	close_keeping_errno(fd);
	return result;
}

/*
 * Put the fresh file where the earlier one is, whose content nobody may have
 * synced. In this order there is no moment without a whole one. Where that
 * has gone from there meanwhile it is ENOENT.
 */
static int replace(struct maildir_file *file, int folder_fd, const char *name)
{
	const char *temp = str_c(&file->temp);

	if (durable_sync(file->fd) == -1)
		return -1;
	if (renameat2(file->new_fd, temp, folder_fd, name, RENAME_EXCHANGE) ==
	    -1) {
		if (errno != EINVAL && errno != ENOSYS)
			return -1;
		if (renameat(file->new_fd, temp, folder_fd, name) == -1)
			return -1;
	}
	remove_temp(file);
	file->repeated = true;
	return durable_sync(folder_fd);
}

/* The next file in cur/ that is called NAME or NAME:FLAGS; or NULL. */
static const char *next_of_name(DIR *cur, struct view name)
{
	struct dirent *entry;

	while ((entry = readdir(cur))) {
		struct view found = view_of(entry->d_name);

		if (view_eq(view_first(found, view_find(found, ':')), name))
			return entry->d_name;
	}
	return NULL;
}

/* One look through cur/, as search_cur(). */
static int look_in(struct maildir_file *file, DIR *cur, struct view name,
		   off_t size, struct str *damaged)
{
	const char *found;

	errno = 0;
	while ((found = next_of_name(cur, name))) {
		switch (compare(file, size, dirfd(cur), found)) {
		case EARLIER_SAME:
			return replace(file, dirfd(cur), found) == -1 ? -1 : 1;
		case EARLIER_DAMAGED:
			str_set_c(damaged, found);
			break;
		case EARLIER_OTHER:
			break;
		case EARLIER_ERROR:
			return -1;
		}
		errno = 0;
	}
	return errno ? -1 : 0;
}

/*
 * 1 if cur/ held the message, which is then replaced by ours; 0 if not; -1
 * with errno. *damaged becomes the name of one that a power cut has damaged.
 */
static int search_cur(struct maildir_file *file, struct view name, off_t size,
		      struct str *damaged)
{
	int result = -1;

	for (int tries = 0; tries < SEARCH_TRIES; tries++) {
		int fd = open_folder(file->new_fd, "../cur");
		DIR *cur = fd == -1 ? NULL : fdopendir(fd);
		int error;

		if (!cur)
			return close_keeping_errno(fd);
		result = look_in(file, cur, name, size, damaged);
		error = errno;
		closedir(cur);
		errno = error;
		/* Its flags were changed while we looked: once more. */
		if (result != -1 || errno != ENOENT)
			break;
	}
	return result;
}

/* The name is taken: by an earlier try of this delivery? */
static int replace_earlier(struct maildir_file *file, const char *name,
			   off_t size)
{
	if (MUTANT(maildir_trusts_names)) {
		file->repeated = true;
		return 0;
	}
	switch (compare(file, size, file->new_fd, name)) {
	case EARLIER_SAME:
	case EARLIER_DAMAGED:
		return replace(file, file->new_fd, name);
	case EARLIER_OTHER:
		errno = EEXIST;
		return -1;
	case EARLIER_ERROR:
		return -1;
	}
	return -1;
}

/* ---- in which order ---- */

/* Where a sync of the file makes its name durable, too. */
static int publish_name_first(struct maildir_file *file, const char *name,
			      off_t size)
{
	if (MUTANT(maildir_syncs_early) && durable_sync(file->fd) == -1)
		return -1;
	if (move_temp(file, name) == -1)
		return errno == EEXIST ? replace_earlier(file, name, size) : -1;
	if (MUTANT(maildir_no_sync) || MUTANT(maildir_syncs_early) ||
	    durable_sync(file->fd) == 0)
		return 0;
	withdraw(file, name);
	return -1;
}

/* Content first: no name in new/ may lead to less than the whole message. */
static int publish_content_first(struct maildir_file *file, const char *name,
				 off_t size)
{
	if (!MUTANT(maildir_no_sync) && durable_sync(file->fd) == -1)
		return -1;
	if (link_temp(file, name) == -1)
		return errno == EEXIST ? replace_earlier(file, name, size) : -1;
	if (MUTANT(maildir_no_dir_sync) || durable_sync(file->new_fd) == 0)
		return 0;
	withdraw(file, name);
	return -1;
}

static void format_name(struct str *name, const struct maildir_file *file,
			off_t size)
{
	str_set(name, str_view(&file->name));
	str_appendf(name, ",S=%lld", (long long)size);
}

/*
 * A damaged file that somebody has taken to cur/ may be known to others by
 * its name: the whole message gets another one.
 */
static void rename_after_damage(struct maildir_file *file)
{
	str_appendf(&file->name, ".M%lldP%ld", (long long)unique_us(),
		    (long)getpid());
}

static int publish(struct maildir_file *file, const struct stat *st)
{
	struct str name = { 0 };
	bool name_first = disks_name_first(file->disks, st->st_dev, file->fd);
	int result;
	int error;

	format_name(&name, file, st->st_size);
	if (name_first)
		result = publish_name_first(file, str_c(&name), st->st_size);
	else
		result = publish_content_first(file, str_c(&name), st->st_size);
	error = errno;
	str_free(&name);
	errno = error;
	return result;
}

static void remove_from_cur(struct maildir_file *file, struct view name)
{
	struct str path = { 0 };

	str_append_c(&path, "../cur/");
	str_append(&path, name);
	unlinkat(file->new_fd, str_c(&path), 0);
	str_free(&path);
}

/* Perhaps somebody has taken an earlier file to cur/. */
static int publish_again(struct maildir_file *file, const struct stat *st)
{
	struct str name = { 0 };
	struct str damaged = { 0 };
	int result;
	int error;

	format_name(&name, file, st->st_size);
	result = search_cur(file, str_view(&name), st->st_size, &damaged);
	if (result == 0) {
		if (damaged.len)
			rename_after_damage(file);
		result = publish(file, st);
		if (result == 0 && damaged.len)
			remove_from_cur(file, str_view(&damaged));
	}
	error = errno;
	str_free(&name);
	str_free(&damaged);
	errno = error;
	return result == -1 ? -1 : 0;
}

int maildir_commit(struct maildir_file *file)
{
	struct stat st;

	/* Whatever the umask: its owner reads and writes it. */
	if (fstat(file->fd, &st) == -1 ||
	    ((st.st_mode & 07777) != 0600 && fchmod(file->fd, 0600) == -1) ||
	    (file->may_repeat ? publish_again : publish)(file, &st) == -1) {
		maildir_abort(file);
		return -1;
	}
	if (MUTANT(maildir_trusts_names) && file->repeated)
		remove_temp(file);
	release(file);
	return 0;
}

static int make_folders(int fd)
{
	static const char *const names[] = { "tmp", "new", "cur" };

	if (fchmod(fd, 0700) == -1)
		return -1;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (mkdirat(fd, names[i], 0700) == -1 ||
		    fchmodat(fd, names[i], 0700, 0) == -1)
			return -1;
	}
	return durable_sync(fd);
}

static void unmake(int dirfd, const char *path, int fd)
{
	int error = errno;

	if (fd != -1) {
		unlinkat(fd, "tmp", AT_REMOVEDIR);
		unlinkat(fd, "new", AT_REMOVEDIR);
		unlinkat(fd, "cur", AT_REMOVEDIR);
		close(fd);
	}
	unlinkat(dirfd, path, AT_REMOVEDIR);
	errno = error;
}

/* Sync the directory that the new one stands in. */
static int sync_above(int dirfd, int fd, const char *path)
{
	/* `..` of a fresh directory is where it was made. */
	if (strchr(path, '/'))
		return durable_sync_dir(fd, "..");
	return durable_sync_dir(dirfd, ".");
}

int maildir_make(int dirfd, const char *path)
{
	int fd;

	if (mkdirat(dirfd, path, 0700) == -1)
		return -1;
	fd = open_folder(dirfd, path);
	if (fd == -1 || make_folders(fd) == -1 ||
	    sync_above(dirfd, fd, path) == -1) {
		unmake(dirfd, path, fd);
		return -1;
	}
	close(fd);
	return 0;
}

/*
 * Is somebody writing it? Age alone says little when clocks are set. A lease
 * for reading is refused while it is open for writing; where there are none,
 * age must do.
 */
static bool is_in_work(int tmp_fd, const char *name)
{
	int fd = openat(tmp_fd, name,
			O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	bool refused;

	if (fd == -1)
		return false;
	refused = fcntl(fd, F_SETLEASE, F_RDLCK) == -1 && errno == EAGAIN;
	close(fd);
	return refused;
}

static void clean_entry(int tmp_fd, const char *name, int64_t before_s)
{
	struct stat st;

	if (fstatat(tmp_fd, name, &st, AT_SYMLINK_NOFOLLOW) == -1 ||
	    S_ISDIR(st.st_mode))
		return;
	if (st.st_atim.tv_sec < before_s && st.st_mtim.tv_sec < before_s &&
	    !is_in_work(tmp_fd, name))
		unlinkat(tmp_fd, name, 0);
}

void maildir_clean(int dirfd)
{
	int64_t before_s = clock_wall_s() - CLEAN_AFTER_S;
	int fd = open_folder(dirfd, "tmp");
	DIR *tmp = fd == -1 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!tmp) {
		close_fd(&fd);
		return;
	}
	while ((entry = readdir(tmp)))
		if (entry->d_name[0] != '.')
			clean_entry(fd, entry->d_name, before_s);
	closedir(tmp);
}
