#ifndef LIB_SPAWN_H
#define LIB_SPAWN_H

/*
 * Starting a program: descriptors, signals, identity.
 *
 *	struct spawn s = { .argv = argv, .envp = environ };
 *
 *	spawn_fd(&s, pipe[0], 0);
 *	spawn_fd(&s, log, 2);
 *	pid = spawn_start(&s);
 *
 * The child gets exactly the descriptors named, and our 0, 1 and 2 where
 * these are not; every other one is closed (all of ours are close-on-exec,
 * and this closes what was inherited). Its signals are default and unblocked.
 */

#include <sys/types.h>

#include "lib/str.h"

#define SPAWN_MAX_FDS 8
#define SPAWN_MAX_TARGET 64 /* targets are below */

struct spawn {
	const char *const *argv;
	char *const *envp; /* NULL: ours */
	const char *cwd;   /* NULL: ours */
	bool change_ids;   /* then become uid:gid (lib/ids.h) */
	uid_t uid;
	gid_t gid;
	bool search_path; /* look argv[0] up in PATH */
	bool asks;        /* see spawn_start(); not with change_ids */
	/*
	 * 0, or: as much memory, where the hard limits allow it. A limit that
	 * is meant for a server may be too small for the libraries of what it
	 * runs.
	 */
	size_t room_bytes;
	size_t fd_count;
	struct {
		int from;
		int to;
	} fds[SPAWN_MAX_FDS];
};

/* Let the child have our descriptor `from` as its `to`. from stays open. */
void spawn_fd(struct spawn *s, int from, int to);

/*
 * The pid, or -1 with errno if there is no child. A child that cannot
 * become what was asked, or cannot exec, says why on its descriptor 2 and
 * exits: EXIT_RETRY, or EXIT_REJECT when there is no such program. For who
 * asks it ends in silence, and this returns -1 with its errno.
 */
pid_t spawn_start(const struct spawn *s) MUST_USE;

/* waitpid through EINTR. 0 with *status, or -1. */
int spawn_wait(pid_t pid, int *status) MUST_USE;

/* The exit code, or -1 when a signal ended it. */
int spawn_exit_code(int status);

#endif
