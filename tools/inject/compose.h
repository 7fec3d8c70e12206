#ifndef TOOLS_INJECT_COMPOSE_H
#define TOOLS_INJECT_COMPOSE_H

/*
 * The header that a message leaves with, made from the one it came with:
 * qmail-header(5). Pure functions; time and process id are given.
 *
 *	struct compose c = { .config = &config };
 *
 *	if (!compose_header(&c, header))
 *		...c.bad is the field that cannot be parsed
 *	compose_finish(&c, now, pid, &new_header);
 *	...send to compose_recipients(&c)
 *	compose_free(&c);
 *
 * Fields stay as they are, byte for byte, except for the addresses in them
 * that are completed and commas that are put where one is missing; fields
 * that are added come first.
 */

#include "tools/inject/config.h"

/* Lists of addresses: each ends in a NUL. */
struct compose {
	const struct config *config;
	struct str fields;
	struct str recipients; /* of To, Cc, Bcc, Apparently-To */
	struct str resent_recipients;
	struct str return_path;
	bool has_return_path;
	bool resent;
	unsigned seen;
	struct view bad; /* borrowed from the header */
};

/* The lines of the header, without the empty line; false: see c->bad. */
bool compose_header(struct compose *c, struct view header) MUST_USE;

/* Append the new header to *header, without an empty line. */
void compose_finish(struct compose *c, int64_t now_s, long pid,
		    struct str *header);

/* Where the header says that the message goes. */
const struct str *compose_recipients(const struct compose *c);

void compose_free(struct compose *c);

#endif
