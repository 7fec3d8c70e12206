#ifndef TOOLS_UCSPI_LIMITS_H
#define TOOLS_UCSPI_LIMITS_H

/*
 * How many connections one address and one network may have.
 *
 * The options -C and -M count before the rules are looked at. The variables
 * MAXLOAD, MAXCONNIP and MAXCONNC, from the rule that applies or from our own
 * environment, count then; their names and that of DIEMSG, the farewell, are
 * those of a patch to ucspi-tcp that many installations had.
 */

#include "lib/str.h"
#include "tools/ucspi/options.h"

/* Connections that are there already. */
struct limits_count {
	unsigned address;
	unsigned network;
};

/* Can anybody ever be over a limit that needs a count? */
bool limits_are_possible(const struct options *o);

/* Is one more too many? Then *why becomes the limit, as the log says it. */
bool limits_options_forbid(const struct options *o,
			   const struct limits_count *count, struct str *why);
/* The same, by the environment as it is now. */
bool limits_variables_forbid(const struct options *o,
			     const struct limits_count *count, struct str *why);

/* Send DIEMSG, if it is set. Never waits. */
void limits_say_goodbye(int fd);

#endif
