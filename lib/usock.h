#ifndef LIB_USOCK_H
#define LIB_USOCK_H

/*
 * The Unix sockets of the house, whose paths may be longer than the 108
 * bytes that an address has.
 */

#include <sys/types.h>

#include "lib/str.h"

/*
 * A non-blocking socket of this type (SOCK_STREAM, SOCK_SEQPACKET), connected
 * to `path` below homefd. -1 with errno as connect(2).
 */
int usock_connect(int homefd, const char *path, int type) MUST_USE;

/*
 * A non-blocking one that listens at `path`, which is relative: the caller
 * has gone to the home, and holds the lock that says that whatever lies at
 * this name is dead. The name gets this mode. -1 with errno.
 */
int usock_listen(const char *path, int type, mode_t mode, int backlog) MUST_USE;

#endif
