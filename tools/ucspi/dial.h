#ifndef TOOLS_UCSPI_DIAL_H
#define TOOLS_UCSPI_DIAL_H

/*
 * Connecting to an address, within a time limit.
 *
 *	fd = dial_open(to->v6);
 *	if (dial_bind(fd, &from, 0) == -1 ||
 *	    dial_connect(fd, to, 25, timeout_ms) == -1)
 *		close(fd);
 *
 * The socket is non-blocking and close-on-exec. Everything returns -1 with
 * errno, ETIMEDOUT at the limit.
 */

#include "lib/ipaddr.h"

int dial_open(bool v6) MUST_USE;
/* Only where the local side must be a certain one. */
int dial_bind(int fd, const struct ipaddr *ip, unsigned port) MUST_USE;
int dial_connect(int fd, const struct ipaddr *ip, unsigned port,
		 int timeout_ms) MUST_USE;

#endif
