#ifndef LIB_USOCK_H
#define LIB_USOCK_H

/*
 * Connecting to a Unix socket of the house, whose path may be longer than
 * the 108 bytes that an address has, without a change of directory.
 */

#include "lib/str.h"

/*
 * A non-blocking socket of this type (SOCK_STREAM, SOCK_SEQPACKET), connected
 * to `path` below homefd. -1 with errno as connect(2).
 */
int usock_connect(int homefd, const char *path, int type) MUST_USE;

#endif
