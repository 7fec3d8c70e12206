#include "lib/spawn.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/ids.h"
#include "lib/sig.h"

/* Sources are first moved here, so that no target overwrites one. */
#define PARKING_FD SPAWN_MAX_TARGET

void spawn_fd(struct spawn *s, int from, int to)
{
	assert(s->fd_count < SPAWN_MAX_FDS && to < PARKING_FD);
	s->fds[s->fd_count].from = from;
	s->fds[s->fd_count].to = to;
	s->fd_count++;
}

static bool is_target(const struct spawn *s, int fd)
{
	for (size_t i = 0; i < s->fd_count; i++)
		if (s->fds[i].to == fd)
			return true;
	return false;
}

/* Put every descriptor in its place and close all others. */
static int place_descriptors(const struct spawn *s)
{
	int parked[SPAWN_MAX_FDS];
	int highest = 2;

	for (size_t i = 0; i < s->fd_count; i++) {
		parked[i] = fcntl(s->fds[i].from, F_DUPFD_CLOEXEC, PARKING_FD);
		if (parked[i] == -1)
			return -1;
	}
	for (size_t i = 0; i < s->fd_count; i++) {
		if (dup2(parked[i], s->fds[i].to) == -1)
			return -1;
		if (s->fds[i].to > highest)
			highest = s->fds[i].to;
	}
	for (int fd = 3; fd < highest; fd++)
		if (!is_target(s, fd))
			close(fd);
	return close_range((unsigned)highest + 1, ~0U, CLOSE_RANGE_CLOEXEC);
}

/* What a child could not do, for who asks; it shares our memory. */
static volatile int child_errno;

static noreturn void fail(const struct spawn *s, int code, const char *what,
			  const char *object)
{
	if (s->asks) {
		child_errno = errno;
		_exit(code);
	}
	die_errno(code, "cannot %s%s", what, object);
}

static int exec_code(int error)
{
	return error == ENOENT || error == EACCES || error == ENOEXEC ||
			       error == ENOTDIR || error == ELOOP
		       ? EXIT_REJECT
		       : EXIT_RETRY;
}

/* Where that is forbidden the program finds out by itself. */
static void make_room(rlim_t bytes)
{
	static const int resources[] = { RLIMIT_AS, RLIMIT_DATA };

	for (size_t i = 0; i < COUNT_OF(resources); i++) {
		struct rlimit limit;

		if (getrlimit(resources[i], &limit) == -1 ||
		    limit.rlim_cur >= bytes)
			continue;
		limit.rlim_cur =
			limit.rlim_max < bytes ? limit.rlim_max : bytes;
		if (setrlimit(resources[i], &limit) == -1)
			continue;
	}
}

static noreturn void child(const struct spawn *s)
{
	char *const *argv = (char *const *)(uintptr_t)s->argv;
	char *const *envp = s->envp ? s->envp : environ;

	if (place_descriptors(s) == -1)
		fail(s, EXIT_RETRY, "place descriptors", "");
	if (s->change_ids && ids_become(s->uid, s->gid) == -1)
		die_errno(EXIT_RETRY, "cannot become uid %ld gid %ld",
			  (long)s->uid, (long)s->gid);
	if (s->cwd && chdir(s->cwd) == -1)
		fail(s, EXIT_RETRY, "change directory to ", s->cwd);
	sig_reset_all();
	if (s->room_bytes)
		make_room(s->room_bytes);
	if (s->search_path)
		execvpe(argv[0], argv, envp);
	else
		execve(argv[0], argv, envp);
	fail(s, exec_code(errno), "run ", argv[0]);
}

/* The child of one who asks, unless it came to nothing. */
static pid_t told(pid_t pid)
{
	int status;

	if (pid == -1 || child_errno == 0)
		return pid;
	if (spawn_wait(pid, &status) == -1) {
		/* Somebody else has waited for it. */
	}
	errno = child_errno;
	return -1;
}

pid_t spawn_start(const struct spawn *s)
{
	pid_t pid;

	assert(!s->asks || !s->change_ids);
	child_errno = 0;
	/*
	 * With vfork(2) the child has our memory until it runs the program:
	 * a copy, even of a small process, costs more than exec. Nothing that
	 * it does before may keep memory; and memory of ours is nothing for
	 * another user's process.
	 */
	pid = s->change_ids ? fork() : vfork(); /* NOLINT */
	if (pid == 0)
		child(s);
	return told(pid);
}

int spawn_wait(pid_t pid, int *status)
{
	pid_t got;

	do
		got = waitpid(pid, status, 0);
	while (got == -1 && errno == EINTR);
	return got == -1 ? -1 : 0;
}

int spawn_exit_code(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
