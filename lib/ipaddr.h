#ifndef LIB_IPADDR_H
#define LIB_IPADDR_H

/*
 * IP addresses: numbers, their text, and sockets' idea of them.
 *
 * An IPv4 address that comes in IPv6 clothes (::ffff:192.0.2.1) is the IPv4
 * address, everywhere: parsing, formatting and sockets undress it. Text is
 * a dotted quad or RFC 5952's form; a scope (%eth0) is not part of it.
 */

#include <sys/socket.h>

#include "lib/str.h"

struct ipaddr {
	bool v6;
	unsigned char bytes[16]; /* the first 4 for IPv4, others zero */
};

/* The whole of text; leading zeros in a quad are refused, as ambiguous. */
bool ipaddr_parse(struct view text, struct ipaddr *ip) MUST_USE;
/* 4 bytes, or 16, in the order of the network. */
void ipaddr_from_bytes(struct ipaddr *ip, const void *bytes, bool v6);
/* Append the text. */
void ipaddr_format(struct str *to, const struct ipaddr *ip);

bool ipaddr_same(const struct ipaddr *a, const struct ipaddr *b);

/* 32 or 128. */
unsigned ipaddr_bits(const struct ipaddr *ip);
/* Clear everything behind the first `bits` bits. */
void ipaddr_mask(struct ipaddr *ip, unsigned bits);

/*
 * A network as `192.0.2.0/24`, or an address, which is one with all its bits.
 * False also when a bit behind its length is set.
 */
bool ipaddr_parse_network(struct view text, struct ipaddr *network,
			  unsigned *bits) MUST_USE;
/* Does ip lie in it? */
bool ipaddr_within(const struct ipaddr *ip, const struct ipaddr *network,
		   unsigned bits);

/* False when it is neither AF_INET nor AF_INET6. */
bool ipaddr_from_socket(const struct sockaddr *address, struct ipaddr *ip,
			unsigned *port) MUST_USE;
/* Returns the length for bind(2) and connect(2). */
socklen_t ipaddr_to_socket(const struct ipaddr *ip, unsigned port,
			   struct sockaddr_storage *address);

#endif
