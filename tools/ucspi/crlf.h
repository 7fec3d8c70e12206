#ifndef TOOLS_UCSPI_CRLF_H
#define TOOLS_UCSPI_CRLF_H

/*
 * Line ends: CR before LF, added, removed, or made sure of. Bytes come in
 * pieces of any size; a struct crlf, all zero at first, remembers what the
 * last one ended in.
 */

#include "lib/str.h"

struct crlf {
	bool cr;
};

/* A CR before each LF. */
void crlf_add(struct str *to, struct view bytes);
/* One where there is none. */
void crlf_fix(struct crlf *c, struct str *to, struct view bytes);
/* Without one before LF; a last CR comes with what follows it. */
void crlf_delete(struct crlf *c, struct str *to, struct view bytes);
/* Or with the end. */
void crlf_delete_end(struct crlf *c, struct str *to);

#endif
