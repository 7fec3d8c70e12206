#include "tools/ucspi/reach.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/die.h"
#include "tools/ucspi/dial.h"
#include "tools/ucspi/lookup.h"

#define ADDRESSES_MAX 64

struct target {
	unsigned port;
	size_t count;
	struct ipaddr ips[ADDRESSES_MAX];
	bool is_late[ADDRESSES_MAX]; /* did not answer in the short time */
};

static noreturn void cannot(const struct client_options *o, const char *what)
{
	if (o->common.verbosity >= ERRORS)
		warn_errno("fatal: unable to %s", what);
	_exit(EXIT_RETRY);
}

/* 0 and nothing: this machine, IPv4 first. */
static void add_this_machine(struct target *t)
{
	t->ips[0] = (struct ipaddr){ .bytes = { 127, 0, 0, 1 } };
	t->ips[1] = (struct ipaddr){ .v6 = true, .bytes[15] = 1 };
	t->count = 2;
}

/* An address may stand in brackets. */
static bool parse_ip(struct view host, struct ipaddr *ip)
{
	if (view_starts(host, VIEW("[")) && view_ends(host, VIEW("]")))
		host = view_first(view_from(host, 1), host.len - 2);
	return ipaddr_parse(host, ip);
}

static void find_addresses(const struct client_options *o, struct target *t)
{
	struct view host = view_of(o->host);

	if (host.len == 0 || view_eq(host, VIEW("0")))
		add_this_machine(t);
	else if (parse_ip(host, &t->ips[0]))
		t->count = 1;
	else
		t->count = lookup_host(o->host, t->ips, ADDRESSES_MAX);
	if (t->count)
		return;
	if (o->common.verbosity >= ERRORS)
		warn("fatal: no IP address for %s", o->host);
	_exit(EXIT_RETRY);
}

static void find_port(const struct client_options *o, struct target *t)
{
	if (lookup_port(o->port, &t->port))
		return;
	if (o->common.verbosity >= ERRORS)
		warn("fatal: unable to figure out port number for %s", o->port);
	_exit(EXIT_RETRY);
}

/* A local side that cannot be had is no reason to take another. */
static void bind_local(const struct client_options *o, int fd, bool v6)
{
	const struct ipaddr any = { .v6 = v6 };
	const struct ipaddr *ip = o->has_local_ip ? &o->local_ip : &any;

	if (!o->has_local_ip && !o->local_port)
		return;
	if (dial_bind(fd, ip, o->local_port) == -1)
		cannot(o, "bind socket");
}

static int try_address(const struct client_options *o, const struct target *t,
		       const struct ipaddr *ip, unsigned timeout_s)
{
	int fd;

	errno = EAFNOSUPPORT;
	if (o->has_local_ip && o->local_ip.v6 != ip->v6)
		return -1;
	fd = dial_open(ip->v6);
	if (fd == -1 && !ip->v6)
		cannot(o, "create socket");
	if (fd == -1)
		return -1; /* a machine without IPv6 */
	bind_local(o, fd, ip->v6);
	if (dial_connect(fd, ip, t->port, (int)timeout_s * 1000) == 0)
		return fd;
	close(fd);
	return -1;
}

static void say(const struct client_options *o, const struct target *t,
		const struct ipaddr *ip, bool connected)
{
	enum verbosity needed = connected ? VERBOSE : ERRORS;
	struct str text = { 0 };
	int error = errno;

	ipaddr_format(&text, ip);
	errno = error;
	if (o->common.verbosity < needed) {
		/* Nobody wants to know. */
	} else if (connected) {
		warn("connected to %s port %u", str_c(&text), t->port);
	} else {
		warn_errno("unable to connect to %s port %u", str_c(&text),
			   t->port);
	}
	str_free(&text);
}

/* One round through the addresses; -1 without a connection. */
static int try_all(const struct client_options *o, struct target *t, bool again,
		   struct ipaddr *reached)
{
	unsigned timeout_s = again ? o->again_timeout_s : o->first_timeout_s;
	bool is_last = again || o->again_timeout_s == 0;

	for (size_t i = 0; i < t->count; i++) {
		int fd;

		if (again && !t->is_late[i])
			continue;
		fd = try_address(o, t, &t->ips[i], timeout_s);
		*reached = t->ips[i];
		if (fd != -1)
			return fd;
		t->is_late[i] = errno == ETIMEDOUT;
		if (is_last || !t->is_late[i])
			say(o, t, &t->ips[i], false);
	}
	return -1;
}

/* Programs expect to wait in read(2) and write(2). */
static void let_block(const struct client_options *o, int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags == -1 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == -1)
		cannot(o, "set up the connection");
}

int reach(const struct client_options *o, struct sockaddr_storage *remote)
{
	struct target t = { 0 };
	struct ipaddr reached;
	int fd;

	find_port(o, &t);
	find_addresses(o, &t);
	fd = try_all(o, &t, false, &reached);
	if (fd == -1 && o->again_timeout_s)
		fd = try_all(o, &t, true, &reached);
	if (fd == -1)
		_exit(EXIT_RETRY);
	let_block(o, fd);
	say(o, &t, &reached, true);
	ipaddr_to_socket(&reached, t.port, remote);
	return fd;
}
