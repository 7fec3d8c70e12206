#ifndef TOOLS_UCSPI_REFUSAL_H
#define TOOLS_UCSPI_REFUSAL_H

/*
 * An SMTP server that takes nobody's mail and says why.
 */

#include <stdnoreturn.h>

#include "lib/str.h"

struct refusal {
	struct view ip;     /* the client's, for the log */
	struct view text;   /* why; a stranger's, perhaps */
	bool is_final;      /* 553, not 451 */
	unsigned timeout_s; /* for the session; 0: one line, and the end */
};

/*
 * Log it, serve the client on 0 and 1 in a sandbox, and exit with EXIT_DONE.
 */
noreturn void refusal_serve(const struct refusal *refusal);

#endif
