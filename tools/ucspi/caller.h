#ifndef TOOLS_UCSPI_CALLER_H
#define TOOLS_UCSPI_CALLER_H

/*
 * An accepted connection, and whose it is: the other end's, or the client's
 * that a proxy has announced.
 */

#include "lib/ipaddr.h"

struct caller {
	int fd;
	struct ipaddr ip;
	unsigned port;

	bool is_announced; /* then these are set, too: */
	struct ipaddr local_ip;
	unsigned local_port;
	struct ipaddr proxy_ip;
	unsigned proxy_port;
};

#endif
