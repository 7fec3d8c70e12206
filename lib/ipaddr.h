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
/* The bytes of an address, as packets have them: 16 of IPv6, or 4. */
void ipaddr_from_bytes(struct ipaddr *ip, bool v6, const void *bytes);
/* Append the text. */
void ipaddr_format(struct str *to, const struct ipaddr *ip);

/* 32 or 128. */
unsigned ipaddr_bits(const struct ipaddr *ip);
/* Clear everything behind the first `bits` bits. */
void ipaddr_mask(struct ipaddr *ip, unsigned bits);

/* False when it is neither AF_INET nor AF_INET6. */
bool ipaddr_from_socket(const struct sockaddr *address, struct ipaddr *ip,
			unsigned *port) MUST_USE;
/* Returns the length for bind(2) and connect(2). */
socklen_t ipaddr_to_socket(const struct ipaddr *ip, unsigned port,
			   struct sockaddr_storage *address);

#endif
