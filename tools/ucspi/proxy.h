#ifndef TOOLS_UCSPI_PROXY_H
#define TOOLS_UCSPI_PROXY_H

/*
 * The header of the PROXY protocol, versions 1 (a line) and 2 (binary): who
 * the client is, as a proxy tells it before it passes the client's bytes on.
 * Pure functions: nothing is read here.
 *
 *	switch (proxy_parse(bytes, &header)) {
 *	case PROXY_MORE:    all of bytes is the header's, and more will come
 *	case PROXY_OK:      the first header.length bytes are
 *	case PROXY_BAD:     it is none
 *	}
 *
 * What a proxy adds to the addresses in version 2 (TLVs) is skipped.
 */

#include "lib/ipaddr.h"

/* Longer headers are bad ones: a line has 107 bytes at most. */
#define PROXY_MAX_BYTES 4096

enum proxy_result {
	PROXY_OK,
	PROXY_MORE,
	PROXY_BAD,
};

struct proxy_header {
	size_t length;
	/* False for LOCAL and UNKNOWN: the connection's own ends count. */
	bool is_announced;
	struct ipaddr remote_ip;
	unsigned remote_port;
	struct ipaddr local_ip;
	unsigned local_port;
};

enum proxy_result proxy_parse(struct view bytes,
			      struct proxy_header *header) MUST_USE;

/* Do these bytes, the client's first, begin with a whole signature? */
bool proxy_begins(struct view bytes);
/* The longest signature. */
#define PROXY_SIGNATURE_BYTES 12

#endif
