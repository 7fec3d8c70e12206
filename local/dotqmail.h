#ifndef LOCAL_DOTQMAIL_H
#define LOCAL_DOTQMAIL_H

/*
 * The lines of a .qmail file, as dot-qmail(5) describes them.
 *
 *	struct dotqmail dq;
 *	struct dotqmail_line line;
 *
 *	dotqmail_init(&dq, content);
 *	while (dotqmail_next(&dq, &line))
 *		switch (line.kind) ...
 *
 * Nothing here opens or runs anything. Every byte string is a .qmail file:
 * what makes no sense has a kind that the caller refuses or skips.
 */

#include "lib/str.h"

enum dotqmail_kind {
	DOTQMAIL_BLANK,   /* an error in the first line, else nothing */
	DOTQMAIL_COMMENT, /* # */
	DOTQMAIL_MAILDIR, /* . or / first, / last */
	DOTQMAIL_MBOX,    /* . or / first */
	DOTQMAIL_PROGRAM, /* | */
	DOTQMAIL_FORWARD, /* & or anything else */
	DOTQMAIL_LIST,    /* +list: only forwards from here on */
	DOTQMAIL_UNKNOWN, /* another + */
};

struct dotqmail_line {
	enum dotqmail_kind kind;
	struct view text; /* path, command or address; no NUL, no LF */
	size_t number;    /* from 1 */
};

struct dotqmail {
	struct view rest;
	size_t number;
};

/* content is borrowed. A last line may lack its LF; empty is one blank line. */
void dotqmail_init(struct dotqmail *dq, struct view content);
bool dotqmail_next(struct dotqmail *dq, struct dotqmail_line *line);

/*
 * The names to look for, in order, for an extension: the exact one, then
 * shorter ones that end in `default`. Start with *state = 0.
 *
 *	.qmail-a-b   .qmail-a-b-default   .qmail-a-default   .qmail-default
 *
 * The extension is folded to lower case and its dots become colons, so that
 * no name leaves the home. *matched is how many bytes of ext stand before
 * `default` (what follows them is $DEFAULT), or SIZE_MAX when the name does
 * not end so.
 */
bool dotqmail_name(struct view dash, struct view ext, size_t *state,
		   struct str *name, size_t *matched);

#endif
