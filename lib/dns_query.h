#ifndef LIB_DNS_QUERY_H
#define LIB_DNS_QUERY_H

/*
 * One question to one server, over UDP or TCP, without waiting. For
 * lib/dns.h, which knows whom to ask next.
 *
 * Each query has a random id, and a socket of its own that is connected to
 * the server: the kernel chooses its port, and lets nobody else answer.
 */

#include "lib/dns_packet.h"
#include "lib/dns_servers.h"
#include "lib/polls.h"

enum dns_way {
	DNS_UDP, /* with EDNS; the others are without */
	DNS_UDP_PLAIN,
	DNS_TCP,
};

/* All-zero is no valid one: dns_query_init() is. */
struct dns_query {
	int fd; /* -1: not open */
	enum dns_way way;
	unsigned id;
	struct str out; /* TCP: what is still to be sent */
	struct str in;  /* TCP: the answer so far, with its length */
	bool is_polled; /* poll_no counts */
	size_t poll_no;
};

void dns_query_init(struct dns_query *query);
/* Begin; closes what was open. -1 with errno. */
int dns_query_open(struct dns_query *query, const struct dns_question *question,
		   const struct dns_server *server, enum dns_way way) MUST_USE;
/* Gives everything back, and may be opened again. */
void dns_query_close(struct dns_query *query);

void dns_query_prepare(struct dns_query *query, struct polls *polls);
/* DNS_REPLY_FOREIGN: nothing yet. Other results close the query. */
enum dns_reply dns_query_act(struct dns_query *query,
			     const struct dns_question *question,
			     const struct polls *polls,
			     struct dns_answer *answer) MUST_USE;

#endif
