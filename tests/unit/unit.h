#ifndef TESTS_UNIT_UNIT_H
#define TESTS_UNIT_UNIT_H

/*
 * What unit tests share: cmocka with the headers it wants, views compared
 * so that a failure shows both, a scratch directory, and a child in which
 * code may die.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/str.h"

/* NULs in v end what is shown, not what is compared. */
static inline void assert_view(struct view v, const char *want)
{
	char *got = calloc(1, v.len + 1);

	assert_non_null(got);
	if (v.len)
		memcpy(got, v.p, v.len);
	assert_string_equal(got, want);
	assert_int_equal(v.len, strlen(want));
	free(got);
}

static inline void assert_str(const struct str *s, const char *want)
{
	assert_view(str_view(s), want);
}

/* ---- a scratch directory ---- */

struct scratch {
	char path[64];
	int fd;
};

static inline void scratch_open(struct scratch *s)
{
	snprintf(s->path, sizeof(s->path), "/tmp/valija-unit.XXXXXX");
	assert_non_null(mkdtemp(s->path));
	s->fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_not_equal(s->fd, -1);
}

static inline void scratch_remove(int above, const char *name)
{
	int fd = openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	struct dirent *entry;
	DIR *dir;

	if (fd == -1) {
		unlinkat(above, name, 0);
		return;
	}
	dir = fdopendir(fd);
	assert_non_null(dir);
	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 &&
		    strcmp(entry->d_name, "..") != 0)
			scratch_remove(fd, entry->d_name);
	closedir(dir);
	unlinkat(above, name, AT_REMOVEDIR);
}

static inline void scratch_close(struct scratch *s)
{
	close(s->fd);
	scratch_remove(AT_FDCWD, s->path);
}

static inline void scratch_write(struct scratch *s, const char *name,
				 struct view content)
{
	int fd = openat(s->fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_int_not_equal(fd, -1);
	if (content.len)
		assert_int_equal(write(fd, content.p, content.len),
				 content.len);
	close(fd);
}

static inline void scratch_read(struct scratch *s, const char *name,
				struct str *content)
{
	int fd = openat(s->fd, name, O_RDONLY);
	ssize_t got;

	assert_int_not_equal(fd, -1);
	str_reset(content);
	do {
		str_reserve(content, 4096);
		got = read(fd, content->p + content->len, 4096);
		assert_true(got >= 0);
		content->len += (size_t)got;
	} while (got);
	close(fd);
}

static inline bool scratch_has(struct scratch *s, const char *name)
{
	struct stat st;

	return fstatat(s->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* How many entries a directory below has. */
static inline int scratch_count(struct scratch *s, const char *name)
{
	int fd = openat(s->fd, name, O_RDONLY | O_DIRECTORY);
	struct dirent *entry;
	int count = 0;
	DIR *dir;

	assert_int_not_equal(fd, -1);
	dir = fdopendir(fd);
	assert_non_null(dir);
	while ((entry = readdir(dir)))
		count += entry->d_name[0] != '.';
	closedir(dir);
	return count;
}

/* ---- a child that may die ---- */

/*
 * Run body(arg) in a child. Returns its exit code, 0 when body returned, -1
 * when a signal ended it; *said is what came on descriptor 2.
 */
static inline int in_child(void (*body)(void *), void *arg, struct str *said)
{
	int fds[2];
	int status;
	ssize_t got;
	pid_t pid;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		/* cmocka's handler would go on with the tests in here. */
		signal(SIGSEGV, SIG_DFL);
		dup2(fds[1], 2);
		body(arg);
		_exit(0);
	}
	close(fds[1]);
	str_reset(said);
	do {
		str_reserve(said, 4096);
		got = read(fds[0], said->p + said->len, 4096);
		assert_true(got >= 0);
		said->len += (size_t)got;
	} while (got);
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#endif
