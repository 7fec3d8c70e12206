#ifndef LIB_ROUTE_H
#define LIB_ROUTE_H

/*
 * Where mail for a host goes: control/smtproutes.
 *
 * Each line is `host:relay` or `host:relay:port`. An entry holds for its
 * host, one that begins with a dot for all hosts below, and one with an
 * empty host for every other. An empty relay means no route: the host's own
 * mail exchangers, at the port. Hosts and relays may be literals, [192.0.2.1] or
 * [IPv6:2001:db8::1].
 */

#include "lib/control.h"
#include "lib/ipaddr.h"

#define ROUTE_SMTP_PORT 25

struct route {
	struct view relay; /* into the list; empty for none */
	unsigned port;
};

/* False when the entry that would hold is no route (bad port). */
bool route_find(const struct control_list *routes, struct view host,
		struct route *route) MUST_USE;

/* The address in a literal's brackets. */
bool route_literal(struct view text, struct ipaddr *ip) MUST_USE;

/*
 * The addresses of a name in a file like /etc/hosts, at most `max`. Returns
 * how many.
 */
size_t route_hosts(struct view text, struct view name, struct ipaddr *ips,
		   size_t max);

#endif
