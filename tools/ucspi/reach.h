#ifndef TOOLS_UCSPI_REACH_H
#define TOOLS_UCSPI_REACH_H

/*
 * From a host and a port on the command line to a connection: every address
 * of the host is tried for a short time, and those that did not answer are
 * tried once more for a longer one.
 */

#include <sys/socket.h>

#include "tools/ucspi/clientoptions.h"

/*
 * The connection, which is blocking and close-on-exec, and whom it leads to.
 * Exits EXIT_RETRY, having said why, when there is none to be had.
 */
int reach(const struct client_options *o, struct sockaddr_storage *remote);

#endif
