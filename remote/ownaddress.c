#include "remote/ownaddress.h"

#include <string.h>
#include <unistd.h>

#define DISCARD_PORT 9

static bool is_listed(const struct control_list *list, const struct ipaddr *ip)
{
	struct view rest = control_list_start(list);
	struct view entry;

	while (control_list_next(&rest, &entry)) {
		struct ipaddr listed;

		if (ipaddr_parse(entry, &listed) && ipaddr_same(&listed, ip))
			return true;
	}
	return false;
}

/* Loopback, and the one that means this host. */
static bool is_always_ours(const struct ipaddr *ip)
{
	static const unsigned char zeroes[16];

	if (!ip->v6)
		return ip->bytes[0] == 127 || memcmp(ip->bytes, zeroes, 4) == 0;
	return memcmp(ip->bytes, zeroes, 15) == 0 && ip->bytes[15] <= 1;
}

/*
 * Who sends to an address of his own sends from it. Nothing is sent, and bind(2)
 * would not tell: a host may be allowed to bind to others' addresses, too.
 */
static bool is_kernels(const struct ipaddr *ip)
{
	struct sockaddr_storage address;
	socklen_t len = ipaddr_to_socket(ip, DISCARD_PORT, &address);
	struct ipaddr from;
	unsigned port;
	bool ours;
	int fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd == -1)
		return false;
	ours = connect(fd, (struct sockaddr *)&address, len) == 0;
	len = sizeof(address);
	ours = ours &&
	       getsockname(fd, (struct sockaddr *)&address, &len) == 0 &&
	       ipaddr_from_socket((struct sockaddr *)&address, &from, &port) &&
	       ipaddr_same(&from, ip);
	close(fd);
	return ours;
}

bool ownaddress_is(const struct ownaddress *own, const struct ipaddr *ip)
{
	if (is_listed(&own->never, ip))
		return false;
	return is_always_ours(ip) || is_listed(&own->more, ip) ||
	       is_kernels(ip);
}

void ownaddress_free(struct ownaddress *own)
{
	control_list_free(&own->more);
	control_list_free(&own->never);
}
