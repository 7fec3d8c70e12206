#ifndef TOOLS_UCSPI_LISTEN_H
#define TOOLS_UCSPI_LISTEN_H

/*
 * The listening socket: from `host` and `port` as typed to a descriptor.
 *
 * Host `0` (or empty) means every address, IPv6 and IPv4 on one socket where
 * the system has IPv6, else IPv4. `::` means every IPv6 address and
 * `0.0.0.0` every IPv4 address, so that two servers can share a port.
 *
 * A socket that we were started with (tools/ucspi/inherited.h) or that our
 * supervise has kept (tools/ucspi/deposit.h) comes before a new one.
 */

#include "tools/ucspi/options.h"

/*
 * A non-blocking close-on-exec socket that listens; *port is the one it got.
 * Without one, complains (unless quiet) and exits EXIT_RETRY.
 */
int listen_open(const struct options *o, unsigned *port) MUST_USE;

#endif
