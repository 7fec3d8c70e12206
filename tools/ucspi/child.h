#ifndef TOOLS_UCSPI_CHILD_H
#define TOOLS_UCSPI_CHILD_H

/*
 * One connection, in a process of its own: who is it, may it, and then the
 * program.
 */

#include <stdnoreturn.h>
#include <sys/socket.h>

#include "tools/ucspi/options.h"

/*
 * Serve the connection fd. Exits EXIT_REJECT when a rule denies it and
 * EXIT_RETRY when it cannot be decided or the program cannot run.
 */
noreturn void child_run(const struct options *o, int fd,
			const struct sockaddr *remote);

#endif
