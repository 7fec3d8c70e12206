#ifndef TOOLS_UCSPI_NETLIST_H
#define TOOLS_UCSPI_NETLIST_H

/*
 * A list of networks, as -F takes them: `192.0.2.7,10.0.0.0/8,2001:db8::/32`.
 */

#include "lib/ipaddr.h"

struct netlist_entry {
	struct ipaddr network;
	unsigned bits;
};

struct netlist {
	struct netlist_entry *entries;
	size_t count;
};

/* Add what text names. False when a part of it is no network. */
bool netlist_add(struct netlist *list, struct view text) MUST_USE;
bool netlist_has(const struct netlist *list, const struct ipaddr *ip);
void netlist_free(struct netlist *list);

#endif
