#include "tools/ucspi/peer.h"

#include <errno.h>

void peer_set_local(struct peer *peer, const struct ipaddr *ip, unsigned port)
{
	str_reset(&peer->local_ip);
	ipaddr_format(&peer->local_ip, ip);
	peer->names.local_port = port;
}

void peer_set_remote(struct peer *peer, const struct ipaddr *ip, unsigned port)
{
	str_reset(&peer->remote_ip);
	ipaddr_format(&peer->remote_ip, ip);
	peer->names.remote_port = port;
}

int peer_open_local(struct peer *peer, int fd)
{
	struct sockaddr_storage local;
	socklen_t len = sizeof(local);
	struct ipaddr ip;
	unsigned port;

	if (getsockname(fd, (struct sockaddr *)&local, &len) == -1)
		return -1;
	errno = EAFNOSUPPORT;
	if (!ipaddr_from_socket((struct sockaddr *)&local, &ip, &port))
		return -1;
	peer_set_local(peer, &ip, port);
	return 0;
}

int peer_open(struct peer *peer, int fd, const struct sockaddr *remote)
{
	struct ipaddr ip;
	unsigned port;

	if (peer_open_local(peer, fd) == -1)
		return -1;
	errno = EAFNOSUPPORT;
	if (!ipaddr_from_socket(remote, &ip, &port))
		return -1;
	peer_set_remote(peer, &ip, port);
	return 0;
}

void peer_ask(struct peer *peer, const char *local_host)
{
	peer->names.want_local_host = !local_host;
	peer->names.local_ip = str_view(&peer->local_ip);
	peer->names.remote_ip = str_view(&peer->remote_ip);
	lookup_peer(&peer->names);
	if (local_host)
		str_set_c(&peer->names.local_host, local_host);
}

/* An empty value removes the variable: what we do not know nobody else told. */
static void set_known(struct environment *env, const char *name,
		      struct view value)
{
	if (value.len)
		environment_set(env, name, value);
	else
		environment_unset(env, name);
}

static void set_port(struct environment *env, const char *name, unsigned port)
{
	struct str text = { 0 };

	str_append_u64(&text, port);
	environment_set(env, name, str_view(&text));
	str_free(&text);
}

void peer_environment(const struct peer *peer, struct environment *env)
{
	const struct lookup *names = &peer->names;

	environment_set(env, "PROTO", VIEW("TCP"));
	set_known(env, "TCPLOCALIP", str_view(&peer->local_ip));
	set_port(env, "TCPLOCALPORT", names->local_port);
	set_known(env, "TCPLOCALHOST", str_view(&names->local_host));
	set_known(env, "TCPREMOTEIP", str_view(&peer->remote_ip));
	set_port(env, "TCPREMOTEPORT", names->remote_port);
	set_known(env, "TCPREMOTEHOST", str_view(&names->remote_host));
	set_known(env, "TCPREMOTEINFO", str_view(&names->info));
}

void peer_proxy_environment(const struct ipaddr *ip, unsigned port,
			    struct environment *env)
{
	struct str text = { 0 };

	if (!ip) {
		environment_unset(env, "PROXYIP");
		environment_unset(env, "PROXYPORT");
		return;
	}
	ipaddr_format(&text, ip);
	environment_set(env, "PROXYIP", str_view(&text));
	set_port(env, "PROXYPORT", port);
	str_free(&text);
}

void peer_free(struct peer *peer)
{
	str_free(&peer->local_ip);
	str_free(&peer->remote_ip);
	str_free(&peer->names.local_host);
	str_free(&peer->names.remote_host);
	str_free(&peer->names.info);
}
