#ifndef REMOTE_ENCODE_H
#define REMOTE_ENCODE_H

/*
 * A message as DATA wants it: lines that end in CRLF, leading dots doubled,
 * a lone dot at the end (RFC 5321 section 4.5.2).
 *
 * Lines of the message end in LF or CRLF. A CR anywhere else becomes a
 * blank: some servers take it for a line end, and would see commands in the
 * message. So the wire never has a CR without LF nor an LF without CR, and
 * exactly one CRLF.CRLF, at its end. A last line without LF gets one.
 * Pieces of any length give the same as the whole.
 */

#include <stdint.h>

#include "lib/str.h"

struct encode {
	bool in_line;
	bool has_cr;  /* seen, not yet decided */
	bool in_body; /* the empty line after the header has passed */
	bool header8; /* 8-bit bytes in the header, in the body */
	bool body8;
	uint64_t bytes; /* of the message so far, as RFC 1870 counts them */
};

void encode_put(struct encode *e, struct view piece, struct str *to);
void encode_end(struct encode *e, struct str *to);

#endif
