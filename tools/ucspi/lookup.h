#ifndef TOOLS_UCSPI_LOOKUP_H
#define TOOLS_UCSPI_LOOKUP_H

/*
 * Names: services, hosts, and the remote user, asked of tcplookup(8), which
 * runs as a process of its own beside us. So tcpserver itself needs no name
 * service library, and no answer of a stranger is parsed here as root: a
 * tcplookup that root starts runs as qmaild, or as 65534 where users/ids
 * does not say who that is.
 *
 * What cannot be found out, or not in time, is unknown; that is no error.
 */

#include "lib/ipaddr.h"
#include "lib/str.h"

/* A number, or a service's name; false when it is neither. */
bool lookup_port(const char *text, unsigned *port);
/* The first addresses of a host, as many as there is room for. */
size_t lookup_host(const char *name, struct ipaddr *list, size_t room);

/* What to ask about a connection, and the answers. */
struct lookup {
	bool want_local_host;
	bool want_remote_host;
	bool paranoid; /* only names that lead back to the address */
	bool want_info;
	unsigned timeout_s; /* for the names, and again for the info */
	struct view local_ip;
	struct view remote_ip;
	unsigned local_port;
	unsigned remote_port;

	struct str local_host; /* in lower case; empty: unknown */
	struct str remote_host;
	struct str info;
};

void lookup_peer(struct lookup *lookup);

#endif
