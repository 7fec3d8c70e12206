#ifndef TOOLS_UCSPI_IDENT_H
#define TOOLS_UCSPI_IDENT_H

/*
 * The user behind a connection, as the remote host tells it (RFC 1413).
 */

#include "lib/str.h"

#define IDENT_MAX_BYTES 256 /* of the answer's user; more is cut off */

struct ident {
	struct view local_ip; /* as in the connection: the question's source */
	struct view remote_ip;
	unsigned local_port;
	unsigned remote_port;
	unsigned timeout_s; /* for everything together */
};

/* Append the user's name to *info; false when there is no usable answer. */
bool ident_ask(const struct ident *ident, struct str *info);

/*
 * The user in an answer line (`6193, 23 : USERID : UNIX : joe`), without
 * control bytes; false for an error or anything else.
 */
bool ident_parse(struct view line, struct str *info);

#endif
