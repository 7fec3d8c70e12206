#ifndef LIB_HEADER_H
#define LIB_HEADER_H

/*
 * Walking the header of a message (RFC 5322 section 2.2).
 *
 *	struct view rest = message;
 *	struct header_field field;
 *
 *	while (header_next(&rest, &field))
 *		if (header_is(&field, VIEW("received")))
 *			hops++;
 *
 * Lines end in LF or CRLF. The header ends at an empty line, or before the
 * first line that is neither a field nor a continuation; after the last
 * field *rest begins there. Nothing is copied; a 50 MB header costs time
 * only.
 */

#include "lib/str.h"

struct header_field {
	struct view whole; /* with its line ends */
	struct view name;  /* without blanks before the colon */
	struct view value; /* behind the colon, folds and last line end kept */
};

bool header_next(struct view *rest, struct header_field *field);
bool header_is(const struct header_field *field, struct view name);
/* Append the value unfolded: line ends dropped, ends trimmed. */
void header_unfold(struct str *to, struct view value);
/*
 * Where the body begins: behind the empty line; at the line that is neither
 * field nor continuation, if such a one ends the header; else at the end.
 */
struct view header_body(struct view message);

#endif
