#ifndef TOOLS_UCSPI_CHILD_H
#define TOOLS_UCSPI_CHILD_H

/*
 * A process for one connection.
 *
 * The order of things, all of it: the banner goes out first, then names are
 * looked up, the rules decide, then the limits that they set, the log says
 * what came of it, and the program starts or the connection is dropped.
 *
 * Where none of this takes time and the rules allow it, tcpserver does it
 * itself and starts the program at once, without a copy of its own memory,
 * which costs more than exec. In all other cases a child does it. Who is
 * over a limit costs no process, unless names or a banner come before.
 */

#include <stdnoreturn.h>
#include <sys/types.h>

#include "tools/ucspi/caller.h"
#include "tools/ucspi/limits.h"
#include "tools/ucspi/options.h"

enum child_result {
	CHILD_STARTED,   /* *pid */
	CHILD_REFUSED,   /* over a limit: it has been told, and the log */
	CHILD_IS_NEEDED, /* it is a case for child_run() */
};

/* count: the other connections from there. */
enum child_result child_spawn(const struct options *o,
			      const struct caller *caller,
			      const struct limits_count *count,
			      pid_t *pid) MUST_USE;

/*
 * In a child: serve the connection. Exits EXIT_REJECT when a rule or a limit
 * denies it and EXIT_RETRY when it cannot be decided or the program cannot
 * run.
 */
noreturn void child_run(const struct options *o, const struct caller *caller,
			const struct limits_count *count);

#endif
