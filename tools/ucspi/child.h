#ifndef TOOLS_UCSPI_CHILD_H
#define TOOLS_UCSPI_CHILD_H

/*
 * A process for one connection.
 *
 * The order of things, all of it: the banner goes out first, then names are
 * looked up, the rules decide, the log says what they decided, and the program
 * starts or the connection is dropped.
 *
 * Where none of this takes time and the rules allow it, tcpserver does it
 * itself and starts the program at once, without a copy of its own memory,
 * which costs more than exec. In all other cases a child does it.
 */

#include <stdnoreturn.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "tools/ucspi/options.h"

/* The program's pid, or 0: it is a case for child_run(). */
pid_t child_spawn(const struct options *o, int fd,
		  const struct sockaddr *remote);

/*
 * In a child: serve the connection fd. Exits EXIT_REJECT when a rule denies
 * it and EXIT_RETRY when it cannot be decided or the program cannot run.
 */
noreturn void child_run(const struct options *o, int fd,
			const struct sockaddr *remote);

#endif
