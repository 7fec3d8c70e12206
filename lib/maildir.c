#include "lib/maildir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/durable.h"
#include "lib/lock.h"
#include "lib/mutant.h"

#define CLEAN_AFTER_S 129600 /* 36 hours */
#define HOST_MAX_BYTES 160   /* a file name has 255, `,S=` and flags included */
#define TEMP_TRIES 10

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

/* A folder of the Maildir itself: a link might lead into another's. */
static int open_folder(int dirfd, const char *name)
{
	return openat(dirfd, name,
		      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static void close_fd(int *fd)
{
	if (*fd != -1)
		close(*fd);
	*fd = -1;
}

/* Close and free everything; keeps errno. */
static void release(struct maildir_file *file)
{
	int error = errno;

	close_fd(&file->fd);
	close_fd(&file->tmp_fd);
	close_fd(&file->new_fd);
	str_free(&file->name);
	str_free(&file->temp);
	errno = error;
}

/*
 * Create tmp/NAME. Where that is taken, by a delivery that died or by one
 * that lives, both must be left alone: a longer name then.
 */
static int create_temp(struct maildir_file *file)
{
	str_set(&file->temp, str_view(&file->name));
	for (int tries = 0; tries < TEMP_TRIES; tries++) {
		file->fd = openat(file->tmp_fd, str_c(&file->temp),
				  O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW |
					  O_CLOEXEC,
				  0600);
		if (file->fd != -1 || errno != EEXIST)
			break;
		str_set(&file->temp, str_view(&file->name));
		str_appendf(&file->temp, ".M%lldP%ld", (long long)unique_us(),
			    (long)getpid());
	}
	if (file->fd == -1)
		return -1;
	/* The lock says that it is in work; where there is none, its age. */
	(void)!lock_try(file->fd);
	/* Whatever the umask: its owner reads and writes it. */
	return fchmod(file->fd, 0600);
}

int maildir_begin(struct maildir_file *file, int dirfd, struct view name)
{
	*file = (struct maildir_file){
		.fd = -1, .dirfd = dirfd, .tmp_fd = -1, .new_fd = -1
	};
	if (name.len == 0 || name.p[0] == '.' || view_has(name, '/') ||
	    view_has(name, ':') || view_has(name, '\0')) {
		errno = EINVAL;
		return -1;
	}
	str_set(&file->name, name);
	file->tmp_fd = open_folder(dirfd, "tmp");
	if (file->tmp_fd != -1)
		file->new_fd = open_folder(dirfd, "new");
	if (file->new_fd == -1 || create_temp(file) == -1) {
		maildir_abort(file);
		return -1;
	}
	return 0;
}

void maildir_abort(struct maildir_file *file)
{
	int error = errno;

	if (file->fd != -1)
		unlinkat(file->tmp_fd, str_c(&file->temp), 0);
	errno = error;
	release(file);
}

/* rename() that does not replace, also where the system has no such thing. */
static int move_temp(struct maildir_file *file, const char *name)
{
	struct stat st;

	if (renameat2(file->tmp_fd, str_c(&file->temp), file->new_fd, name,
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
	return renameat(file->tmp_fd, str_c(&file->temp), file->new_fd, name);
}

/* Give the finished file its name in new/. */
static int publish(struct maildir_file *file, const char *name)
{
	if (linkat(file->tmp_fd, str_c(&file->temp), file->new_fd, name, 0) ==
	    0) {
		/* One that stays behind costs room, until it is cleaned. */
		unlinkat(file->tmp_fd, str_c(&file->temp), 0);
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

static bool is_file_of(int folder_fd, const char *name, off_t size)
{
	struct stat st;

	return fstatat(folder_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode) && st.st_size == size;
}

/* Look for NAME, or NAME:FLAGS, among the files that were seen. */
static bool find_in(DIR *cur, struct view name, off_t size)
{
	struct dirent *entry;

	while ((entry = readdir(cur))) {
		struct view found = view_of(entry->d_name);

		found = view_first(found, view_find(found, ':'));
		if (view_eq(found, name) &&
		    is_file_of(dirfd(cur), entry->d_name, size))
			return true;
	}
	return false;
}

/* 1 if cur/ holds the message, and durably; 0 if not; -1 with errno. */
static int search_cur(const struct maildir_file *file, struct view name,
		      off_t size)
{
	int fd = open_folder(file->dirfd, "cur");
	DIR *cur = fd == -1 ? NULL : fdopendir(fd);
	int result;
	int error;

	if (!cur) {
		close_fd(&fd);
		return -1;
	}
	errno = 0;
	result = find_in(cur, name, size) ? 1 : errno ? -1 : 0;
	if (result == 1 && durable_sync(fd) == -1)
		result = -1;
	error = errno;
	closedir(cur);
	errno = error;
	return result;
}

/* The message under its final name, or found delivered before. */
static int deliver(struct maildir_file *file, const char *name, off_t size)
{
	bool ours = true;

	if (file->may_repeat) {
		switch (search_cur(file, view_of(name), size)) {
		case 1:
			file->repeated = true;
			return 0;
		case -1:
			return -1;
		}
	}
	if (publish(file, name) == -1) {
		if (errno != EEXIST)
			return -1;
		if (!is_file_of(file->new_fd, name, size)) {
			errno = EEXIST;
			return -1;
		}
		file->repeated = true;
		ours = false;
	}
	if (!MUTANT(maildir_no_dir_sync) && durable_sync(file->new_fd) == -1) {
		int error = errno;

		if (ours)
			unlinkat(file->new_fd, name, 0);
		errno = error;
		return -1;
	}
	return 0;
}

/* Content first: no name in new/ may lead to less than the whole message. */
static int sync_content(struct maildir_file *file, off_t *size)
{
	struct stat st;

	if (fstat(file->fd, &st) == -1 ||
	    (!MUTANT(maildir_no_sync) && durable_sync(file->fd) == -1))
		return -1;
	*size = st.st_size;
	return 0;
}

int maildir_commit(struct maildir_file *file)
{
	struct str name = { 0 };
	off_t size;

	if (sync_content(file, &size) == -1) {
		maildir_abort(file);
		return -1;
	}
	str_append(&name, str_view(&file->name));
	str_appendf(&name, ",S=%lld", (long long)size);
	if (deliver(file, str_c(&name), size) == -1) {
		int error = errno;

		str_free(&name);
		errno = error;
		maildir_abort(file);
		return -1;
	}
	str_free(&name);
	if (file->repeated)
		unlinkat(file->tmp_fd, str_c(&file->temp), 0);
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

/* Is somebody writing it? Age alone says little when clocks are set. */
static bool is_in_work(int tmp_fd, const char *name)
{
	int fd = openat(tmp_fd, name,
			O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	bool locked;

	if (fd == -1)
		return false;
	locked = lock_try(fd) == -1 && errno == EWOULDBLOCK;
	close(fd);
	return locked;
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
