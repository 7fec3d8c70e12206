#ifndef LOCAL_FORWARDING_H
#define LOCAL_FORWARDING_H

/*
 * Forwarding: one new message in the queue for all addresses of a .qmail
 * file, with our Delivered-To line before it.
 */

#include "local/envelope.h"
#include "local/verdict.h"

/*
 * addresses: each ends in a NUL; at least one. 0 with *qp, the number that
 * the queue knows the message by; or -1 with the verdict.
 */
int forwarding_send(struct verdict *v, const struct job *job,
		    const struct envelope *envelope, struct view sender,
		    struct view addresses, uint64_t *qp) MUST_USE;

#endif
