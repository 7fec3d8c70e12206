#include "tools/vpopmail/vfolder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/durable.h"
#include "lib/out.h"

#define MAX_DEPTH 100

static int open_dir(int at, const char *name)
{
	return openat(at, name,
		      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static DIR *list_dir(int at, const char *name)
{
	int fd = open_dir(at, name);
	DIR *dir;

	if (fd == -1)
		return NULL;
	dir = fdopendir(fd);
	if (!dir) {
		int error = errno;

		close(fd);
		errno = error;
	}
	return dir;
}

/* The next name but `.` and `..`; NULL with errno 0 at the end. */
static const char *next_name(DIR *dir)
{
	struct dirent *entry;

	do {
		errno = 0;
		entry = readdir(dir);
		if (!entry)
			return NULL;
	} while (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."));
	return entry->d_name;
}

/* May this be the beginning of a Maildir that nobody has had yet? */
static int check_unused(int at, const char *name)
{
	static const char *const made[] = { "Maildir", "tmp", "new", "cur" };
	DIR *dir = list_dir(at, name);
	const char *entry;
	int result = 0;
	int error;

	if (!dir) {
		if (errno == ENOTDIR || errno == ELOOP)
			errno = EEXIST;
		return -1;
	}
	while (result == 0 && (entry = next_name(dir))) {
		bool ours = false;

		if (!strcmp(entry, VFOLDER_LASTAUTH))
			continue;

		for (size_t i = 0; i < COUNT_OF(made); i++)
			ours = ours || !strcmp(entry, made[i]);
		if (!ours) {
			errno = EEXIST;
			result = -1;
		} else {
			result = check_unused(dirfd(dir), entry);
		}
	}
	error = errno;
	closedir(dir);
	errno = error;
	return result == 0 && error == 0 ? 0 : -1;
}

/* Make the directory, unless there is one that nobody has used. */
static int make_one(int at, const char *name)
{
	if (mkdirat(at, name, 0700) == 0)
		return 0;
	return errno == EEXIST ? check_unused(at, name) : -1;
}

/* When the account was made, for who looks for those never used. */
static int note_creation(int folder)
{
	int fd = openat(folder, VFOLDER_LASTAUTH,
			O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	int result;

	if (fd == -1)
		return -1;
	result = write_all(fd, VIEW(VFOLDER_NO_IP));
	close(fd);
	return result;
}

static int make_maildir(int folder)
{
	static const char *const parts[] = { "Maildir", "Maildir/tmp",
					     "Maildir/new", "Maildir/cur" };

	for (size_t i = 0; i < COUNT_OF(parts); i++)
		if (mkdirat(folder, parts[i], 0700) == -1 && errno != EEXIST)
			return -1;
	if (note_creation(folder) == -1 ||
	    durable_sync_dir(folder, "Maildir") == -1)
		return -1;
	return durable_sync(folder);
}

int vfolder_make(int at, const char *name)
{
	int folder;
	int result;
	int error;

	if (make_one(at, name) == -1)
		return -1;
	folder = open_dir(at, name);
	if (folder == -1)
		return -1;
	result = make_maildir(folder);
	if (result == 0)
		result = durable_sync(at);
	error = errno;
	close(folder);
	errno = error;
	return result;
}

static int remove_tree(int at, const char *name, int depth);

static int empty_dir(int at, const char *name, int depth)
{
	DIR *dir = list_dir(at, name);
	const char *entry;
	int result = 0;
	int error;

	if (!dir)
		return -1;
	while (result == 0 && (entry = next_name(dir)))
		result = remove_tree(dirfd(dir), entry, depth);
	error = errno;
	closedir(dir);
	errno = error;
	return result == 0 && error == 0 ? 0 : -1;
}

static int remove_tree(int at, const char *name, int depth)
{
	if (unlinkat(at, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -1;
	if (depth >= MAX_DEPTH) {
		errno = ELOOP;
		return -1;
	}
	if (empty_dir(at, name, depth + 1) == -1)
		return -1;
	return unlinkat(at, name, AT_REMOVEDIR);
}

int vfolder_remove(int at, const char *name)
{
	struct view path = view_of(name);
	size_t slash = view_find_last(path, '/');
	struct str gone = { 0 };
	int result;

	str_append(&gone, VIEW(".deleted."));
	str_append(&gone, slash < path.len ? view_from(path, slash + 1) : path);
	result = remove_tree(at, str_c(&gone), 0);
	if (result == 0 && renameat(at, name, at, str_c(&gone)) == -1)
		result = errno == ENOENT ? 0 : -1;
	if (result == 0)
		result = remove_tree(at, str_c(&gone), 0);
	if (result == 0)
		result = durable_sync(at);
	str_free(&gone);
	return result;
}

int vfolder_empty(int at, const char *name)
{
	return empty_dir(at, name, 1);
}
