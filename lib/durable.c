#include "lib/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/lock.h"
#include "lib/out.h"

int durable_sync(int fd)
{
	int result;

	do
		result = fsync(fd);
	while (result == -1 && errno == EINTR);
	return result;
}

int durable_sync_data(int fd)
{
	int result;

	do
		result = fdatasync(fd);
	while (result == -1 && errno == EINTR);
	return result;
}

int durable_sync_dir(int dirfd, const char *path)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int result;
	int error;

	if (fd == -1)
		return -1;
	result = durable_sync(fd);
	error = errno;
	close(fd);
	errno = error;
	return result;
}

int durable_begin(struct durable *file, int dirfd, const char *path,
		  mode_t mode)
{
	*file = (struct durable){ .fd = -1, .dirfd = dirfd };
	str_set_c(&file->path, path);
	str_appendf(&file->temp, "%s.%ld", path, (long)getpid());
	/* A leftover of a dead process that had our pid may go. */
	unlinkat(dirfd, str_c(&file->temp), 0);
	file->fd = openat(dirfd, str_c(&file->temp),
			  O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (file->fd == -1 || fchmod(file->fd, mode) == -1) {
		durable_abort(file);
		return -1;
	}
	return 0;
}

/* Does the temporary name still lead to the file that is open? */
static bool is_named(struct durable *file, const struct stat *open_st)
{
	struct stat st;

	return fstatat(file->dirfd, str_c(&file->temp), &st,
		       AT_SYMLINK_NOFOLLOW) == 0 &&
	       st.st_ino == open_st->st_ino && st.st_dev == open_st->st_dev;
}

/* Never empty what is not a plain file with this one name. */
static int check_temp(const struct stat *st)
{
	if (S_ISREG(st->st_mode) && st->st_nlink == 1)
		return 0;
	errno = EEXIST;
	return -1;
}

int durable_begin_temp(struct durable *file, int dirfd, const char *path,
		       const char *temp, mode_t mode)
{
	struct stat st;

	*file = (struct durable){ .fd = -1, .dirfd = dirfd };
	str_set_c(&file->path, path);
	str_set_c(&file->temp, temp);
	for (;;) {
		file->fd = openat(dirfd, temp,
				  O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW |
					  O_NONBLOCK,
				  mode);
		if (file->fd == -1 || lock_take(file->fd) == -1 ||
		    fstat(file->fd, &st) == -1)
			break;
		if (is_named(file, &st)) {
			if (check_temp(&st) == -1 ||
			    ftruncate(file->fd, 0) == -1 ||
			    fchmod(file->fd, mode) == -1)
				break;
			return 0;
		}
		/* The writer we waited for has renamed or removed it. */
		close(file->fd);
	}
	if (file->fd != -1) {
		int error = errno;

		close(file->fd);
		file->fd = -1;
		errno = error;
	}
	durable_abort(file);
	return -1;
}

void durable_abort(struct durable *file)
{
	int error = errno;

	if (file->fd != -1) {
		/* In this order: closing lets the next writer have it. */
		unlinkat(file->dirfd, str_c(&file->temp), 0);
		close(file->fd);
	}
	file->fd = -1;
	str_free(&file->path);
	str_free(&file->temp);
	errno = error;
}

/* Sync the directory that holds the final name. */
static int sync_parent(struct durable *file)
{
	struct view path = str_view(&file->path);
	size_t slash = view_find_last(path, '/');
	struct str parent = { 0 };
	int result;

	if (slash == path.len)
		return durable_sync_dir(file->dirfd, ".");
	str_set(&parent, view_first(path, slash ? slash : 1));
	result = durable_sync_dir(file->dirfd, str_c(&parent));
	str_free(&parent);
	return result;
}

int durable_commit(struct durable *file)
{
	int fd = file->fd;
	int result;

	if (durable_sync(fd) == -1) {
		durable_abort(file);
		return -1;
	}
	if (renameat(file->dirfd, str_c(&file->temp), file->dirfd,
		     str_c(&file->path)) == -1) {
		durable_abort(file);
		return -1;
	}
	file->fd = -1;
	result = close(fd);
	if (sync_parent(file) == -1)
		result = -1;
	durable_abort(file); /* frees; the temporary name is gone */
	return result;
}

int durable_replace(int dirfd, const char *path, struct view content,
		    mode_t mode)
{
	struct durable file;

	if (durable_begin(&file, dirfd, path, mode) == -1)
		return -1;
	if (write_all(file.fd, content) == -1) {
		durable_abort(&file);
		return -1;
	}
	return durable_commit(&file);
}
