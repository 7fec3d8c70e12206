#ifndef TOOLS_UCSPI_INHERITED_H
#define TOOLS_UCSPI_INHERITED_H

#include <stddef.h>

#include "lib/str.h"

/*
 * Listening sockets from whoever started us, as systemd hands them over:
 * LISTEN_FDS of them from descriptor 3 on, if LISTEN_PID is our process.
 *
 * -1 when there are none. Else *fd is the first that listens for TCP at this
 * port (0: any), or -1 when none does; the others are closed, and what said
 * so is gone from the environment. The number of them is returned.
 */
int inherited_take(unsigned port, int *fd) MUST_USE;

#endif
