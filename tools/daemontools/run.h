#ifndef DAEMONTOOLS_RUN_H
#define DAEMONTOOLS_RUN_H

/*
 * What the programs share that start another one: setuidgid, envdir,
 * softlimit, setlock, svscan and their like.
 */

#include <stdnoreturn.h>
#include <sys/types.h>

/*
 * Become argv[0], looked up in PATH, with the environment as it is now. Dies
 * with EXIT_RETRY if that cannot be run: daemontools say 111 in every case.
 */
noreturn void run_child(char *const *argv);

/*
 * Open what of 0, 1 and 2 is closed, so that no descriptor of ours gets one
 * of these numbers.
 */
void run_fill_descriptors(void);

#endif
