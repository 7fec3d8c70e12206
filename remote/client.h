#ifndef REMOTE_CLIENT_H
#define REMOTE_CLIENT_H

/*
 * A connection to an SMTP server: commands out, replies in, each within its
 * time. After a call has returned false the connection is of no use.
 */

#include "lib/in.h"
#include "lib/ipaddr.h"
#include "lib/out.h"
#include "remote/reply.h"

enum client_trouble {
	CLIENT_FINE,
	CLIENT_LOST,     /* closed, broken or too slow */
	CLIENT_NOT_SMTP, /* what it says is no reply */
};

struct client {
	int fd;
	enum client_trouble trouble;
	struct in in;
	struct out out;
	struct reply reply; /* the last one */
	char in_space[8192];
	char out_space[32768];
};

/* Connect within timeout_ms. -1 with errno. */
int client_connect(struct client *client, const struct ipaddr *ip,
		   unsigned port, int timeout_ms) MUST_USE;
void client_close(struct client *client);

/* Queue a piece; client_flush() or client_reply() sends it. */
void client_put(struct client *client, struct view piece);
bool client_flush(struct client *client, int timeout_ms) MUST_USE;
/* Send what is queued, and read the next reply. */
bool client_reply(struct client *client, int timeout_ms) MUST_USE;
/* Send QUIT and do not wait for an answer. */
void client_quit(struct client *client);

#endif
