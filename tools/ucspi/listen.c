#include "tools/ucspi/listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/ipaddr.h"
#include "tools/ucspi/deposit.h"
#include "tools/ucspi/inherited.h"
#include "tools/ucspi/lookup.h"

/* What is bound. */
struct place {
	struct ipaddr ip;
	bool both; /* host 0: IPv4 too, or only, where there is no IPv6 */
	unsigned port;
};

static noreturn void cannot(const struct options *o, const char *what)
{
	if (o->common.verbosity >= ERRORS)
		warn_errno("fatal: unable to %s", what);
	_exit(EXIT_RETRY);
}

static unsigned find_port(const struct options *o)
{
	unsigned port;

	if (lookup_port(o->port, &port))
		return port;
	if (o->common.verbosity >= ERRORS)
		warn("fatal: unable to figure out port number for %s", o->port);
	_exit(EXIT_RETRY);
}

static void find_host(const struct options *o, struct place *place)
{
	place->both = *o->host == '\0' || view_eq(view_of(o->host), VIEW("0"));
	if (place->both) {
		place->ip = (struct ipaddr){ .v6 = true };
		return;
	}
	if (ipaddr_parse(view_of(o->host), &place->ip) ||
	    lookup_host(o->host, &place->ip, 1))
		return;
	if (o->common.verbosity >= ERRORS)
		warn("fatal: no IP address for %s", o->host);
	_exit(EXIT_RETRY);
}

static int open_socket(const struct place *place)
{
	const int v6_only = place->both ? 0 : 1;
	const int yes = 1;
	int fd = socket(place->ip.v6 ? AF_INET6 : AF_INET,
			SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd == -1)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) == -1 ||
	    (place->ip.v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only,
					sizeof(v6_only)) == -1)) {
		close(fd);
		return -1;
	}
	return fd;
}

static int bind_socket(int fd, const struct place *place)
{
	struct sockaddr_storage address;
	socklen_t len = ipaddr_to_socket(&place->ip, place->port, &address);

	return bind(fd, (struct sockaddr *)&address, len);
}

/* No IPv6 here: neither compiled in nor, bound to ::, switched off. */
static bool lacks_v6(int error)
{
	return error == EAFNOSUPPORT || error == EADDRNOTAVAIL ||
	       error == EPROTONOSUPPORT;
}

/* Socket and bind; for host 0 again with IPv4 alone where that is all. */
static int open_place(const struct options *o, struct place *place)
{
	int fd = open_socket(place);

	if (fd == -1 && !(place->both && lacks_v6(errno)))
		cannot(o, "create socket");
	if (fd != -1 && bind_socket(fd, place) == 0)
		return fd;
	if (!place->both || !place->ip.v6 || !lacks_v6(errno))
		cannot(o, "bind");
	if (fd != -1)
		close(fd);
	place->ip = (struct ipaddr){ 0 };
	return open_place(o, place);
}

static unsigned bound_port(const struct options *o, int fd)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	struct ipaddr ip;
	unsigned port = 0;

	if (getsockname(fd, (struct sockaddr *)&address, &len) == -1 ||
	    !ipaddr_from_socket((struct sockaddr *)&address, &ip, &port))
		cannot(o, "get local address");
	return port;
}

/* -1 when nobody gave us any. */
static int take_inherited(const struct options *o, unsigned port)
{
	int fd;
	int count = inherited_take(port, &fd);

	if (count == -1 || fd != -1)
		return fd;
	if (o->common.verbosity >= ERRORS)
		warn("fatal: none of %d inherited sockets listens at port %s",
		     count, o->port);
	_exit(EXIT_RETRY);
}

/* What a kept socket is for. */
static void make_key(struct str *key, const struct place *place)
{
	if (place->both)
		str_append(key, VIEW("0"));
	else
		ipaddr_format(key, &place->ip);
	str_appendf(key, " %u", place->port);
}

/* The one that supervise has kept, or a new one, which it keeps then. */
static int take_kept(const struct options *o, struct place *place)
{
	struct deposit deposit;
	struct str key = { 0 };
	int fd;

	make_key(&key, place);
	deposit_open(&deposit);
	fd = deposit_take(&deposit, str_view(&key));
	if (fd == -1) {
		fd = open_place(o, place);
		if (listen(fd, (int)o->backlog) == -1)
			cannot(o, "listen");
		deposit_leave(&deposit, str_view(&key), fd);
	}
	deposit_close(&deposit);
	str_free(&key);
	return fd;
}

int listen_open(const struct options *o, unsigned *port)
{
	struct place place = { .port = find_port(o) };
	int fd = take_inherited(o, place.port);

	if (fd == -1) {
		find_host(o, &place);
		fd = take_kept(o, &place);
	}
	/* The backlog may have changed; this is all that it takes. */
	if (listen(fd, (int)o->backlog) == -1)
		cannot(o, "listen");
	*port = bound_port(o, fd);
	return fd;
}
