#ifndef SEND_GROUP_H
#define SEND_GROUP_H

/*
 * The recipients of a message that one remote job is for: those at one host.
 *
 * A pass walks the envelope once; whom a job has taken from further ahead is
 * ticked, so that the walk passes him by when it comes there.
 */

#include <stdint.h>

#include "lib/str.h"

/* Servers need not take more in one transaction (RFC 5321 4.5.3.1.8). */
#define GROUP_MAX 100
/* Addresses in a job; its packet has room for a message beside them. */
#define GROUP_MAX_BYTES 32768
/* How far ahead to look: what this costs must not grow with the list. */
#define GROUP_LOOK_AHEAD 1000

/* Ticked recipients, by number. All-zero: none. */
struct group_ticks {
	unsigned char *bits;
	size_t bytes;
};

void group_tick(struct group_ticks *ticks, uint64_t number);
bool group_is_ticked(const struct group_ticks *ticks, uint64_t number);
void group_free(struct group_ticks *ticks);

/*
 * Can this address, as it stands in the envelope, lead to this host? Quickly,
 * and without a lookup for most: rewriting (percenthack, envnoathost) changes
 * the host only where there is a % or no @. Letters' case does not matter.
 */
bool group_may_be_at(struct view address, struct view host);
/* And if it leads to a remote host at all, is it surely this one? */
bool group_is_plainly_at(struct view address, struct view host);
/* The host of an address, behind its last @. */
struct view group_host(struct view address);

#endif
