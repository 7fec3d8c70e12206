#ifndef LOCAL_REDIRECT_H
#define LOCAL_REDIRECT_H

/*
 * For the programs of a `|` line that send the message on: into the queue
 * again, behind the Delivered-To line of $DTLINE, by which loops are found.
 */

#include <stdint.h>

/*
 * Queue the message for all addresses (to a NULL), from sender. Returns only
 * when that is done, with the number that the queue knows the message by; else
 * a complaint, and EXIT_REJECT where the queue wants it never, or EXIT_RETRY.
 */
uint64_t redirect(int message, uint64_t size, const char *sender,
		  const char *const *addresses);

#endif
