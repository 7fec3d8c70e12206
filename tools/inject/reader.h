#ifndef TOOLS_INJECT_READER_H
#define TOOLS_INJECT_READER_H

/*
 * The message on descriptor 0: its header as a whole, its body in pieces.
 *
 * Lines end in LF here. When the first line ends in CRLF, as those of many
 * web programs do, every CRLF is read as LF; otherwise a CR is a byte like
 * any other. A last line without LF gets one.
 *
 * The header ends at an empty line or before the first line that is no
 * field. A line `From ` or `>From ` in it, which a mailbox file leaves
 * there, becomes a field `MBOX-Line`.
 */

#include "lib/in.h"
#include "lib/str.h"

#define READER_HEADER_MAX ((size_t)64 << 20)

struct reader {
	struct in in;
	struct str line; /* the first of the body, if it is not empty */
	bool crlf;
	bool held_cr;  /* the last byte read, not yet given out */
	bool mid_line; /* the last byte given out was no LF */
	bool ended;
	char space[65536];
};

enum reader_result {
	READER_OK,
	READER_END,
	READER_TOO_LONG, /* the header, over READER_HEADER_MAX */
	READER_ERROR,    /* errno */
};

void reader_init(struct reader *r, int fd);
/* Append the header, every line with its LF, without the empty line. */
enum reader_result reader_header(struct reader *r, struct str *header) MUST_USE;
/* The next piece of the body; *piece is overwritten. */
enum reader_result reader_body(struct reader *r, struct str *piece) MUST_USE;
void reader_free(struct reader *r);

#endif
