#ifndef LOCAL_MBOX_H
#define LOCAL_MBOX_H

/*
 * Delivering into an mbox file: lock, append, sync; a message of which only
 * a part could be written is cut off again.
 */

#include "local/envelope.h"
#include "local/verdict.h"

/* 0 when the message is durable there, or -1 with the verdict. */
int mbox_deliver(struct verdict *v, const char *path, const struct job *job,
		 const struct envelope *envelope) MUST_USE;

/*
 * From_ quoting: `>` is put before `From ` wherever only `>`s precede it in
 * its line. Pieces of any length give the same as the whole.
 */
struct mbox_quoter {
	bool in_line;   /* the start of this line is decided */
	bool quoted;    /* only `>`s of this line are out so far */
	size_t matched; /* bytes of `From ` seen and not yet put out */
};

void mbox_quote(struct mbox_quoter *q, struct view piece, struct str *to);
/* Ends the last line if need be, and adds the empty one. */
void mbox_quote_end(struct mbox_quoter *q, struct str *to);

#endif
