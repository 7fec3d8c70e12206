#ifndef TOOLS_UCSPI_PEER_H
#define TOOLS_UCSPI_PEER_H

/*
 * The two ends of a connection: addresses, names, and the variables that a
 * program learns them from.
 *
 *	struct peer peer = { .names.want_info = true, ... };
 *
 *	if (peer_open(&peer, fd, remote) == 0) {
 *		peer_ask(&peer, NULL);
 *		peer_environment(&peer, &env);
 *	}
 *	peer_free(&peer);
 */

#include "lib/environment.h"
#include "tools/ucspi/lookup.h"

struct peer {
	struct str local_ip;
	struct str remote_ip;
	struct lookup names; /* and ports; the caller sets what is wanted */
};

/* The addresses of the connection fd. -1 with errno. */
int peer_open(struct peer *peer, int fd,
	      const struct sockaddr *remote) MUST_USE;
/* Each end alone: ours from the socket, or either as somebody says. */
int peer_open_local(struct peer *peer, int fd) MUST_USE;
void peer_set_local(struct peer *peer, const struct ipaddr *ip, unsigned port);
void peer_set_remote(struct peer *peer, const struct ipaddr *ip, unsigned port);
/*
 * Look up the names that are wanted, which may take time. local_host is our
 * own, where it is known; it is looked up when that is NULL.
 */
void peer_ask(struct peer *peer, const char *local_host);
/* PROTO, TCPLOCALIP and the others. What is unknown is unset. */
void peer_environment(const struct peer *peer, struct environment *env);
/* PROXYIP and PROXYPORT; ip NULL: there is no proxy. */
void peer_proxy_environment(const struct ipaddr *ip, unsigned port,
			    struct environment *env);
void peer_free(struct peer *peer);

#endif
