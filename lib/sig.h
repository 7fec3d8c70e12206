#ifndef LIB_SIG_H
#define LIB_SIG_H

/*
 * Signals as readable bytes: block them, read them from a descriptor in the
 * same poll as everything else. lib/spawn.h unblocks them for children.
 */

#include <signal.h>
#include <stddef.h>

#include "lib/str.h"

/*
 * Block the `count` signals and return a non-blocking close-on-exec
 * descriptor that is readable when one has come. -1 with errno.
 */
int sig_open(const int *signals, size_t count) MUST_USE;
/* The next signal that has come, or 0. */
int sig_next(int fd);
/* Ignore SIGPIPE and SIGXFSZ: writes then fail with EPIPE and EFBIG. */
void sig_ignore_write_signals(void);
/* Before exec: every signal default and unblocked. */
void sig_reset_all(void);

#endif
