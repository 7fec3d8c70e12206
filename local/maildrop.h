#ifndef LOCAL_MAILDROP_H
#define LOCAL_MAILDROP_H

/*
 * Delivering a job into a Maildir.
 *
 * The file is named after the job:
 *
 *	<second of the id>.Q<queue>I<id>R<recipient>[L<line>].<host>
 *
 * with the first 16 digits of the queue's identity, and the line of the
 * .qmail file unless it is the first. So a delivery that is repeated after a
 * crash finds its own file, and no second copy appears.
 */

#include "local/envelope.h"
#include "local/verdict.h"

/* 0 when the message is durable there, or -1 with the verdict. */
int maildrop_deliver(struct verdict *v, const char *path, const struct job *job,
		     size_t line, const struct envelope *envelope) MUST_USE;

/* The name, or one made of time and pid where the job has no queue. */
void maildrop_name(struct str *name, const struct job *job, size_t line,
		   struct view host);

#endif
