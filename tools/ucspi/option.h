#ifndef TOOLS_UCSPI_OPTION_H
#define TOOLS_UCSPI_OPTION_H

/*
 * What the command lines of tcpserver and tcpclient have in common.
 */

#include "lib/str.h"

enum verbosity {
	QUIET,   /* -q: nothing */
	ERRORS,  /* -Q: what went wrong */
	VERBOSE, /* -v: and every connection */
};

/* The number of -option; complains and exits EXIT_REJECT if it is none. */
unsigned option_number(char option, struct view text, unsigned min,
		       unsigned max);

#endif
