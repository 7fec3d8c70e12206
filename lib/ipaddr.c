#include "lib/ipaddr.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

/* An IPv4 address in IPv6 clothes becomes itself. */
static void set_v6(struct ipaddr *ip, const void *bytes)
{
	*ip = (struct ipaddr){ .v6 = memcmp(bytes, mapped, 12) != 0 };
	if (ip->v6)
		memcpy(ip->bytes, bytes, 16);
	else
		memcpy(ip->bytes, (const unsigned char *)bytes + 12, 4);
}

void ipaddr_from_bytes(struct ipaddr *ip, const void *bytes, bool v6)
{
	*ip = (struct ipaddr){ 0 };
	if (v6)
		set_v6(ip, bytes);
	else
		memcpy(ip->bytes, bytes, 4);
}

bool ipaddr_parse(struct view text, struct ipaddr *ip)
{
	char copy[INET6_ADDRSTRLEN];
	unsigned char bytes[16];

	*ip = (struct ipaddr){ 0 };
	if (text.len == 0 || text.len >= sizeof(copy) || view_has(text, '\0'))
		return false;
	memcpy(copy, text.p, text.len);
	copy[text.len] = '\0';
	if (!view_has(text, ':'))
		return inet_pton(AF_INET, copy, ip->bytes) == 1;
	if (inet_pton(AF_INET6, copy, bytes) != 1)
		return false;
	set_v6(ip, bytes);
	return true;
}

void ipaddr_format(struct str *to, const struct ipaddr *ip)
{
	char text[INET6_ADDRSTRLEN];

	if (inet_ntop(ip->v6 ? AF_INET6 : AF_INET, ip->bytes, text,
		      sizeof(text)))
		str_append_c(to, text);
}

bool ipaddr_same(const struct ipaddr *a, const struct ipaddr *b)
{
	return a->v6 == b->v6 &&
	       memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

unsigned ipaddr_bits(const struct ipaddr *ip)
{
	return ip->v6 ? 128 : 32;
}

void ipaddr_mask(struct ipaddr *ip, unsigned bits)
{
	for (unsigned i = 0; i < sizeof(ip->bytes); i++) {
		unsigned kept = bits > i * 8 ? bits - i * 8 : 0;

		if (kept < 8)
			ip->bytes[i] &= (unsigned char)(0xff00U >> kept);
	}
}

bool ipaddr_parse_network(struct view text, struct ipaddr *network,
			  unsigned *bits)
{
	struct view address = view_cut(&text, '/');
	uint64_t length;

	if (!ipaddr_parse(address, network))
		return false;
	*bits = ipaddr_bits(network);
	if (!text.p)
		return true;
	if (!view_u64(text, &length) || length > *bits)
		return false;
	*bits = (unsigned)length;
	return ipaddr_within(network, network, *bits);
}

bool ipaddr_within(const struct ipaddr *ip, const struct ipaddr *network,
		   unsigned bits)
{
	struct ipaddr masked = *ip;

	ipaddr_mask(&masked, bits);
	return ipaddr_same(&masked, network);
}

bool ipaddr_from_socket(const struct sockaddr *address, struct ipaddr *ip,
			unsigned *port)
{
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;

	*ip = (struct ipaddr){ 0 };
	if (address->sa_family == AF_INET) {
		memcpy(&in4, address, sizeof(in4));
		memcpy(ip->bytes, &in4.sin_addr, 4);
		*port = ntohs(in4.sin_port);
		return true;
	}
	if (address->sa_family != AF_INET6)
		return false;
	memcpy(&in6, address, sizeof(in6));
	set_v6(ip, &in6.sin6_addr);
	*port = ntohs(in6.sin6_port);
	return true;
}

socklen_t ipaddr_to_socket(const struct ipaddr *ip, unsigned port,
			   struct sockaddr_storage *address)
{
	struct sockaddr_in in4 = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

	memset(address, 0, sizeof(*address));
	if (ip->v6) {
		in6.sin6_port = htons((uint16_t)port);
		memcpy(&in6.sin6_addr, ip->bytes, 16);
		memcpy(address, &in6, sizeof(in6));
		return sizeof(in6);
	}
	in4.sin_port = htons((uint16_t)port);
	memcpy(&in4.sin_addr, ip->bytes, 4);
	memcpy(address, &in4, sizeof(in4));
	return sizeof(in4);
}
