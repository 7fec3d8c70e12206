#ifndef LIB_LOCK_H
#define LIB_LOCK_H

/*
 * flock(2) locks. They belong to the open file, so a forked child or a
 * received descriptor holds them too, and they go when the last copy closes.
 */

#include <sys/types.h>

#include "lib/str.h"

/* Take the lock, waiting. -1 with errno. */
int lock_take(int fd) MUST_USE;
/* Take it if it is free: 0, or -1 with EWOULDBLOCK when somebody has it. */
int lock_try(int fd) MUST_USE;
int lock_release(int fd);
/* Open (creating with mode) and lock a file below dirfd; returns the fd. */
int lock_open(int dirfd, const char *path, mode_t mode) MUST_USE;

#endif
