#include "tools/service/maker.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/durable.h"
#include "lib/out.h"

static void undo(struct maker *m)
{
	int error = errno;

	while (m->part_count-- > 0)
		unlinkat(m->fd, m->parts[m->part_count].name,
			 m->parts[m->part_count].is_folder ? AT_REMOVEDIR : 0);
	unlinkat(m->parentfd, str_c(&m->temp), AT_REMOVEDIR);
	errno = error;
}

noreturn void maker_fail(struct maker *m, const char *what)
{
	undo(m);
	die_errno(EXIT_RETRY, "fatal: %s: unable to %s", m->target, what);
}

static noreturn void fail_part(struct maker *m, const char *verb,
			       const char *name)
{
	undo(m);
	die_errno(EXIT_RETRY, "fatal: unable to %s %s/%s", verb, m->target,
		  name);
}

static void add_part(struct maker *m, const char *name, bool is_folder)
{
	assert(m->part_count < MAKER_PARTS);
	m->parts[m->part_count].name = name;
	m->parts[m->part_count].is_folder = is_folder;
	m->part_count++;
}

/* A half-made directory is worse than an interrupt that comes late. */
static void block_signals(struct maker *m)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, &m->signals);
}

static void open_parent(struct maker *m)
{
	struct view target = view_of(m->target);
	size_t slash = view_find_last(target, '/');
	struct str parent = { 0 };

	if (slash == target.len) {
		str_set_c(&parent, ".");
		str_set(&m->name, target);
	} else {
		str_set(&parent, view_first(target, slash ? slash : 1));
		str_set(&m->name, view_from(target, slash + 1));
	}
	m->parentfd = open(str_c(&parent), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->parentfd == -1)
		die_errno(EXIT_RETRY, "fatal: unable to open directory %s",
			  str_c(&parent));
	str_appendf(&m->temp, ".%s.%ld", str_c(&m->name), (long)getpid());
	str_appendf(&m->path, "%s/%s", str_c(&parent), str_c(&m->temp));
	str_free(&parent);
}

static bool is_there(const struct maker *m, struct str *name)
{
	struct stat st;

	return fstatat(m->parentfd, str_c(name), &st, AT_SYMLINK_NOFOLLOW) == 0;
}

void maker_begin(struct maker *m, const char *target)
{
	*m = (struct maker){ .target = target, .fd = -1 };
	open_parent(m);
	if (is_there(m, &m->name)) {
		errno = EEXIST;
		die_errno(EXIT_RETRY, "fatal: unable to create %s", target);
	}
	block_signals(m);
	if (mkdirat(m->parentfd, str_c(&m->temp), 0700) == -1)
		die_errno(EXIT_RETRY, "fatal: unable to create %s", target);
	m->fd = openat(m->parentfd, str_c(&m->temp),
		       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (m->fd == -1)
		maker_fail(m, "open the new directory");
}

void maker_folder(struct maker *m, const char *name, mode_t mode)
{
	if (mkdirat(m->fd, name, 0700) == -1)
		fail_part(m, "create", name);
	add_part(m, name, true);
	if (fchmodat(m->fd, name, mode, 0) == -1)
		fail_part(m, "set the mode of", name);
}

void maker_file(struct maker *m, const char *name, mode_t mode,
		struct view content)
{
	int fd = openat(m->fd, name,
			O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			0600);

	if (fd == -1)
		fail_part(m, "create", name);
	add_part(m, name, false);
	if (write_all(fd, content) == -1 || fchmod(fd, mode) == -1 ||
	    durable_sync(fd) == -1)
		fail_part(m, "write", name);
	close(fd);
}

void maker_own(struct maker *m, const char *name, uid_t uid, gid_t gid)
{
	if (fchownat(m->fd, name, uid, gid, AT_SYMLINK_NOFOLLOW) == -1)
		fail_part(m, "chown", name);
}

void maker_expect(struct maker *m, const char *name)
{
	add_part(m, name, false);
}

static int sync_folders(const struct maker *m)
{
	for (size_t i = 0; i < m->part_count; i++)
		if (m->parts[i].is_folder &&
		    durable_sync_dir(m->fd, m->parts[i].name) == -1)
			return -1;
	return durable_sync(m->fd);
}

/* A file system that has no RENAME_NOREPLACE: it was not there before. */
static int give_name(struct maker *m)
{
	const char *temp = str_c(&m->temp);
	const char *name = str_c(&m->name);

	if (renameat2(m->parentfd, temp, m->parentfd, name, RENAME_NOREPLACE) ==
	    0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	return renameat(m->parentfd, temp, m->parentfd, name);
}

void maker_commit(struct maker *m)
{
	if (fchmod(m->fd, 0755) == -1 || sync_folders(m) == -1)
		maker_fail(m, "finish it");
	if (give_name(m) == -1)
		maker_fail(m, "give the new directory its name");
	if (durable_sync(m->parentfd) == -1)
		die_errno(EXIT_RETRY, "fatal: unable to sync the name of %s",
			  m->target);
	close(m->fd);
	close(m->parentfd);
	str_free(&m->name);
	str_free(&m->temp);
	str_free(&m->path);
	sigprocmask(SIG_SETMASK, &m->signals, NULL);
}
