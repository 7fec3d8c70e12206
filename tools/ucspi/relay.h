#ifndef TOOLS_UCSPI_RELAY_H
#define TOOLS_UCSPI_RELAY_H

/*
 * A process that passes bytes on, both ways, until nothing more comes out.
 *
 * The two ways do not wait for each other, and what cannot be written yet
 * stops only what would follow it. Each packet goes on as it came, at once.
 */

#include <stdnoreturn.h>

#include "lib/str.h"

enum relay_way {
	RELAY_IN,
	RELAY_OUT,
};

struct relay_ends {
	int in_from;
	int in_to; /* closed at the end of the input */
	int out_from;
	int out_to;
};

struct relay {
	const char *name; /* of the program, for its sandbox */
	/*
	 * Append to *to what becomes of these bytes; without any at the end
	 * of the input or the output, at which nothing more is appended.
	 */
	void (*pass)(void *arg, enum relay_way way, struct view bytes,
		     struct str *to);
	void *arg;
};

/*
 * Enters a sandbox, in which there is nothing but these descriptors. Ends, with
 * EXIT_DONE, when the output does, or nobody takes it. Input that
 * nobody takes is not read any more, and its sender learns so.
 */
noreturn void relay_pass(const struct relay *relay,
			 const struct relay_ends *ends);

#endif
