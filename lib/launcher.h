#ifndef LIB_LAUNCHER_H
#define LIB_LAUNCHER_H

/*
 * A process that runs one program, again and again, for others that may not
 * run any: it is forked before they enter their sandbox (lib/sandbox.h), so
 * it is in none, and neither is the program.
 *
 *	launcher_open(&launcher, homefd, "/usr/bin/scanner");
 *	...sandbox_enter()...
 *
 *	launch_begin(&launch, &launcher);
 *	launch_fd(&launch, pipe[0], VIEW("\0"));
 *	launch_fd(&launch, custom[1], VIEW("\4\6"));
 *	if (launch_start(&launch) == 0)    launch.pid
 *		launch_wait(&launch, &status)
 *	launch_close(&launch);
 *
 * The launcher runs as the same uid and holds neither the caller's files nor
 * its connections, only descriptor 2 and the home. It ends when every
 * process that may ask it has ended. Children of the caller may ask it, too,
 * all at the same time. It runs the program it was told at first, in the
 * home; what it is asked decides about descriptors only.
 */

#include <sys/types.h>

#include "lib/str.h"

struct launcher {
	int sock; /* -1: there is none */
};

struct launch {
	int sock;
	pid_t pid; /* of the program, which is not our child */
};

/*
 * Fork it. -1 with errno. The program's path may be relative to the home;
 * its environment is ours.
 */
int launcher_open(struct launcher *launcher, int homefd,
		  const char *program) MUST_USE;
void launcher_close(struct launcher *launcher);

/* These three need the calls of SANDBOX_PACKET. -1 with errno. */
int launch_begin(struct launch *launch,
		 const struct launcher *launcher) MUST_USE;
/* The program gets our fd as its `targets`, a number in each byte. */
int launch_fd(struct launch *launch, int fd, struct view targets) MUST_USE;
/* errno also says that there is no such program. */
int launch_start(struct launch *launch) MUST_USE;
/* Wait for its end: 0 with *status as waitpid(2) has it, or -1. */
int launch_wait(struct launch *launch, int *status) MUST_USE;
void launch_close(struct launch *launch);

#endif
