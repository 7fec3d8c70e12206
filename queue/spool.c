#include "queue/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/die.h"
#include "lib/lock.h"

/* Below these no new message is begun. */
#define FREE_BYTES_MIN (UINT64_C(4) * 1024 * 1024)
#define FREE_INODES_MIN 64
/* Names that are taken are rare: a clock that was set back. */
#define NAME_TRIES 100000
#define AHEAD_MAX_US 1000000

void spool_init(struct spool *spool, int homefd, const struct qformat *format)
{
	*spool = (struct spool){
		.homefd = homefd,
		.format = *format,
		.queuefd = -1,
	};
}

/* ---- at start ---- */

static DIR *open_dir(int homefd, const char *path)
{
	int fd = openat(homefd, path,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
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

static int empty_dir(int homefd, const char *path)
{
	DIR *dir = open_dir(homefd, path);
	struct dirent *entry;
	int result = 0;
	int error;

	if (!dir)
		return -1;
	while (result == 0 && (errno = 0, entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		if (unlinkat(dirfd(dir), entry->d_name, 0) == -1 &&
		    errno != ENOENT)
			result = -1;
	}
	if (result == 0 && errno)
		result = -1;
	error = errno;
	closedir(dir);
	errno = error;
	return result;
}

int spool_empty_pid(const struct spool *spool)
{
	struct str path = { 0 };
	int result = 0;

	for (uint64_t shard = 0; result == 0 && shard < spool->format.split;
	     shard++) {
		str_reset(&path);
		str_append_c(&path, "queue/pid/");
		str_append_u64(&path, shard);
		result = empty_dir(spool->homefd, str_c(&path));
	}
	str_free(&path);
	return result;
}

/* ---- space ---- */

int spool_check_space(struct spool *spool)
{
	struct statvfs fs;

	if (spool->queuefd == -1)
		spool->queuefd = openat(spool->homefd, "queue",
					O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (spool->queuefd == -1 || fstatvfs(spool->queuefd, &fs) == -1)
		return -1;
	/* A file system without a fixed number of inodes says 0 of 0. */
	if ((uint64_t)fs.f_bavail * fs.f_frsize < FREE_BYTES_MIN ||
	    (fs.f_files && fs.f_favail < FREE_INODES_MIN)) {
		errno = ENOSPC;
		return -1;
	}
	return 0;
}

/* ---- names ---- */

/* Now, in microseconds, but always a new one. */
static uint64_t new_id(struct spool *spool)
{
	int64_t now = clock_wall_us();
	uint64_t id = now > 0 ? (uint64_t)now : 1;

	if (id <= spool->last_id)
		id = spool->last_id + 1;
	spool->last_id = id;
	return id;
}

uint64_t spool_id(struct spool *spool)
{
	int64_t now = clock_wall_us();

	/* A burst of a second may run ahead of the clock. */
	if (now <= 0 || (uint64_t)now + AHEAD_MAX_US < spool->last_id)
		return 0;
	return new_id(spool);
}

static bool name_exists(const struct spool *spool, const char *folder,
			uint64_t id)
{
	struct str path = { 0 };
	struct stat st;
	bool exists;

	qformat_path(&spool->format, &path, folder, id);
	/* Doubt counts as yes: then another name is taken. */
	exists = fstatat(spool->homefd, str_c(&path), &st,
			 AT_SYMLINK_NOFOLLOW) == 0 ||
		 errno != ENOENT;
	str_free(&path);
	return exists;
}

/* ---- a message ---- */

void spool_begin(struct spool_file *file)
{
	*file = (struct spool_file){ 0 };
	qfile_writer_init(&file->writer, -1);
}

int spool_create(struct spool *spool, struct spool_file *file)
{
	struct str path = { 0 };
	int tries = 0;
	int error;
	int fd;

	do {
		file->id = new_id(spool);
		qformat_path(&spool->format, &path, "pid", file->id);
		fd = openat(spool->homefd, str_c(&path),
			    O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0660);
	} while (fd == -1 && errno == EEXIST && ++tries < NAME_TRIES);
	error = errno;
	str_free(&path);
	errno = error;
	if (fd == -1)
		return -1;
	file->exists = true;
	file->writer.fd = fd;
	return 0;
}

/* Without RENAME_NOREPLACE: link does not replace either. */
static int link_and_unlink(int homefd, const char *from, const char *to)
{
	if (linkat(homefd, from, homefd, to, 0) == -1)
		return -1;
	if (unlinkat(homefd, from, 0) == 0)
		return 0;
	/* Two names would never be one message: take the new one back. */
	unlinkat(homefd, to, 0);
	return -1;
}

static int move(int homefd, const char *from, const char *to)
{
	if (renameat2(homefd, from, homefd, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno == EINVAL)
		return link_and_unlink(homefd, from, to);
	return -1;
}

static int move_to(const struct spool *spool, struct spool_file *file,
		   uint64_t id)
{
	struct str from = { 0 };
	struct str to = { 0 };
	int result;
	int error;

	qformat_path(&spool->format, &from, file->published ? "new" : "pid",
		     file->id);
	qformat_path(&spool->format, &to, "new", id);
	result = move(spool->homefd, str_c(&from), str_c(&to));
	error = errno;
	if (result == 0) {
		file->id = id;
		file->published = true;
	}
	str_free(&from);
	str_free(&to);
	errno = error;
	return result;
}

/* The next id, in the footer too, since the file tells it. */
static int raise_id(struct spool *spool, struct spool_file *file, uint64_t *id)
{
	uint64_t before = *id;

	*id = new_id(spool);
	warn("id %llu is taken by an older message, taking %llu",
	     (unsigned long long)before, (unsigned long long)*id);
	return qfile_rewrite_footer(&file->writer, *id);
}

/*
 * Only a file locked by us is ever seen in new/. qmail-send may move an older
 * message of the same id from new/ to mess/ at any time, so mess/ is looked
 * at once more when our name stands.
 */
int spool_publish(struct spool *spool, struct spool_file *file)
{
	uint64_t id = file->id;

	if (qfile_write_footer(&file->writer, id) == -1 ||
	    lock_try(file->writer.fd) == -1)
		return -1;
	for (int tries = 0; tries < NAME_TRIES; tries++) {
		if (!name_exists(spool, "mess", id)) {
			if (move_to(spool, file, id) == 0) {
				if (!name_exists(spool, "mess", id))
					return 0;
			} else if (errno != EEXIST) {
				return -1;
			}
		}
		if (raise_id(spool, file, &id) == -1)
			return -1;
	}
	errno = EEXIST;
	return -1;
}

static void close_file(struct spool_file *file)
{
	/* Closing unlocks only when no committer has it open. */
	lock_release(file->writer.fd);
	close(file->writer.fd);
	qfile_writer_free(&file->writer);
	file->exists = false;
}

void spool_accept(struct spool_file *file)
{
	close_file(file);
}

void spool_remove(const struct spool *spool, struct spool_file *file)
{
	struct str path = { 0 };

	if (!file->exists) {
		qfile_writer_free(&file->writer);
		return;
	}
	qformat_path(&spool->format, &path, file->published ? "new" : "pid",
		     file->id);
	if (unlinkat(spool->homefd, str_c(&path), 0) == -1) {
		warn_errno("cannot remove %s", str_c(&path));
		/* An empty file is no message: qmail-send removes it. */
		if (ftruncate(file->writer.fd, 0) == -1)
			warn_errno("cannot empty %s", str_c(&path));
	}
	str_free(&path);
	close_file(file);
}
