#ifndef TOOLS_UCSPI_TRANSCRIPT_H
#define TOOLS_UCSPI_TRANSCRIPT_H

/*
 * What recordio writes about the bytes that went one way:
 *
 *	4711 < a line, which its newline ended: here is a blank_
 *	4711 > one that goes on in the next record+
 *	4711 < [EOF]
 *
 * The bytes stand there as they are.
 */

#include <sys/types.h>

#include "lib/str.h"

#define TRANSCRIPT_BLOCK_BYTES 256 /* a line has no more of them */
#define TRANSCRIPT_LINE_BYTES (TRANSCRIPT_BLOCK_BYTES + 32)

/*
 * Cut a line's worth off *bytes, and append the line, with its newline. Lines
 * begin anew every TRANSCRIPT_BLOCK_BYTES of a packet: *at is how far it is
 * cut, 0 at first.
 */
void transcript_next(struct str *to, pid_t pid, char arrow, struct view *bytes,
		     size_t *at);
void transcript_end(struct str *to, pid_t pid, char arrow);

#endif
