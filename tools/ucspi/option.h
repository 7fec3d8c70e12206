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

#define OPTION_TIMEOUT_MAX_S 86400

/* Strings are borrowed from argv. */
struct common_options {
	enum verbosity verbosity;
	unsigned timeout_s; /* -t: for names, and again for the info */
	bool no_delay;
	bool remote_host;
	bool remote_info;
	const char *local_host; /* -l; NULL: look it up */
};

#define COMMON_OPTIONS_DEFAULT                                                 \
	{                                                                      \
		.verbosity = ERRORS, .timeout_s = 26, .remote_host = true,     \
		.remote_info = true                                            \
	}

/* False when it is none of the common flags, or values. */
bool option_flag(struct common_options *c, int option);
bool option_value(struct common_options *c, int option, const char *value);

/* The number of -option; complains and exits EXIT_REJECT if it is none. */
unsigned option_number(char option, struct view text, unsigned min,
		       unsigned max);

#endif
