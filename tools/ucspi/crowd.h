#ifndef TOOLS_UCSPI_CROWD_H
#define TOOLS_UCSPI_CROWD_H

/*
 * How many connections come from where: a count for each address or network
 * that has any, found at once.
 *
 *	crowd_init(&crowd, 200, 32, 64);
 *	crowd_count(&crowd, &ip)            before it enters
 *	no = crowd_enter(&crowd, &ip);
 *	crowd_leave(&crowd, no);
 *
 * The hash has a secret: clients choose their addresses, and could otherwise
 * choose those that lie in one chain. One that is all zero counts nothing.
 */

#include "lib/ipaddr.h"
#include "tools/ucspi/chains.h"

#define CROWD_KEYS 5

struct crowd_group {
	struct ipaddr network;
	uint32_t count;
};

struct crowd {
	unsigned bits; /* of an IPv4 address, and an IPv6 one */
	unsigned bits6;
	uint64_t keys[CROWD_KEYS];
	struct chains chains;
	struct crowd_group *groups;
};

/* At most `limit` at a time. -1 with errno when there is no secret. */
int crowd_init(struct crowd *crowd, unsigned limit, unsigned bits,
	       unsigned bits6) MUST_USE;
void crowd_free(struct crowd *crowd);
/* How many are here that share the first bits with ip. */
unsigned crowd_count(const struct crowd *crowd, const struct ipaddr *ip);
/* The number to leave with; 0 counts nothing. */
uint32_t crowd_enter(struct crowd *crowd, const struct ipaddr *ip);
void crowd_leave(struct crowd *crowd, uint32_t no);

#endif
