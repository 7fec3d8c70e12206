#ifndef REMOTE_REPLY_H
#define REMOTE_REPLY_H

/*
 * Replies of an SMTP server (RFC 5321 section 4.2), read piece by piece.
 *
 *	reply_reset(&reply);
 *	while ((state = reply_feed(&reply, &bytes)) == REPLY_MORE)
 *		bytes = ...;
 *
 * Trust: the server is a stranger. Whatever it says, a reply takes at most
 * REPLY_MAX_BYTES and leaves at most REPLY_TEXT_MAX of text, whose lines end
 * in LF and hold no other control byte but tabs.
 */

#include "lib/str.h"

#define REPLY_TEXT_MAX 5000
#define REPLY_MAX_BYTES ((size_t)256 * 1024)

enum reply_state {
	REPLY_MORE, /* the piece is used up, the reply goes on */
	REPLY_DONE, /* *bytes is what follows it */
	REPLY_BAD,  /* this is no SMTP */
};

struct reply {
	unsigned code;   /* of its last line, 200 to 599 */
	struct str text; /* with codes, as the server said it */
	size_t at;       /* in the line */
	bool is_last;
	size_t bytes;
};

void reply_reset(struct reply *reply);
void reply_free(struct reply *reply);
enum reply_state reply_feed(struct reply *reply, struct view *bytes);

/*
 * The parameters of an EHLO keyword, from the text of such a reply; false
 * when the server does not have it. The first line is not a keyword.
 */
bool reply_keyword(const struct reply *reply, struct view keyword,
		   struct view *parameters);

#endif
