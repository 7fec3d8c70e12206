#ifndef POPD_WIRE_H
#define POPD_WIRE_H

/*
 * A stored message as POP3 sends it (RFC 1939 section 3): every line ends in
 * CRLF, one that begins with a dot gets another, and what lacks a last line
 * end gets one. A CRLF in the file stays one CRLF.
 *
 *	wire_init(&wire, WIRE_ALL);
 *	while (read chunk)
 *		wire_feed(&wire, chunk, &text);      append to text
 *	wire_end(&wire, &text);
 *	wire.octets is the size that LIST must show
 *
 * With `to` NULL it only counts. How the file is cut into chunks changes
 * nothing.
 */

#include <stdint.h>

#include "lib/str.h"

#define WIRE_ALL UINT64_MAX

struct wire {
	uint64_t octets;     /* sent, but for the doubled dots */
	uint64_t body_lines; /* still wanted */
	size_t line_len;     /* of the current line so far, LF not counted */
	char last;           /* byte */
	bool in_body;
	bool done; /* enough lines: nothing more is taken */
};

/* TOP's count of body lines, or WIRE_ALL. */
void wire_init(struct wire *wire, uint64_t body_lines);
void wire_feed(struct wire *wire, struct view chunk, struct str *to);
void wire_end(struct wire *wire, struct str *to);

#endif
