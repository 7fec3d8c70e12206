#ifndef LIB_DNS_SERVERS_H
#define LIB_DNS_SERVERS_H

/*
 * Whom to ask: the machine's name servers (caches).
 *
 * The environment variable DNSCACHEIP, as with djbdns, else /etc/resolv.conf
 * (nameserver, and of its options timeout and attempts), else this host.
 */

#include "lib/ipaddr.h"

#define DNS_SERVERS_MAX 8
#define DNS_PORT 53

struct dns_server {
	struct ipaddr ip;
	unsigned port;
};

struct dns_servers {
	size_t count; /* 1 at least, once loaded; what is too much is ignored */
	struct dns_server list[DNS_SERVERS_MAX];
	int timeout_ms;    /* for one answer of one server */
	unsigned attempts; /* how often each is asked */
};

/* -1 with errno: resolv.conf is there and cannot be read. */
int dns_servers_load(struct dns_servers *servers) MUST_USE;

/*
 * The parts of it, for tests: *servers is overwritten. The text of a
 * DNSCACHEIP has addresses with blanks between them; each may have a port,
 * as in 127.0.0.1:5353 or [::1]:5353. In the form of djbdns, too, which has
 * dots between them: 127.0.0.1.127.0.0.2. What is no address is skipped.
 */
void dns_servers_parse_resolv(struct dns_servers *servers, struct view text);
void dns_servers_parse_list(struct dns_servers *servers, struct view text);

#endif
