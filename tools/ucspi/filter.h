#ifndef TOOLS_UCSPI_FILTER_H
#define TOOLS_UCSPI_FILTER_H

/*
 * From descriptor 0 to 1, each packet at once.
 */

#include "lib/str.h"

/*
 * pass() appends to *to what becomes of these bytes; without any, at the end,
 * what is still due. Returns the exit code: EXIT_RETRY when it cannot read or
 * write, which nobody is told, as with the original.
 */
int filter_run(void (*pass)(void *arg, struct view bytes, struct str *to),
	       void *arg);

#endif
