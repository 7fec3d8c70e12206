#ifndef LIB_DNS_H
#define LIB_DNS_H

/*
 * Asking DNS: any number of questions at the same time, all within one
 * deadline, without waiting inside.
 *
 *	struct dns_servers servers;
 *	struct dns dns;
 *	size_t mx;
 *
 *	if (dns_servers_load(&servers) == -1)
 *		...
 *	dns_init(&dns, &servers, clock_mono_ms() + 30 * 1000);
 *	mx = dns_ask(&dns, VIEW("example.org"), DNS_MX);
 *	while (dns_is_busy(&dns))
 *		if (dns_wait(&dns, &polls) == -1)
 *			break;
 *	switch (dns_answer(&dns, mx)->result) ...
 *	dns_free(&dns);
 *
 * Each question is asked over UDP with EDNS0, and again over TCP when the
 * answer does not fit. The servers come one after the other, as often as
 * resolv.conf's attempts says, and each has its timeout, but no more than an
 * equal share of the time that is left, so that the last of them is asked,
 * too. A server that fails, refuses or talks nonsense gives way to the next
 * at once. When none is left, or at the deadline, the result is DNS_TROUBLE:
 * never DNS_NONE, which only a server can say.
 *
 * Ownership: *servers is borrowed. Answers belong to the struct dns.
 *
 * A question costs a descriptor while it is asked.
 */

#include "lib/dns_query.h"

struct dns_asked {
	struct dns_question question;
	unsigned turn; /* attempts * servers of them */
	int64_t turn_ends_ms;
	struct dns_query query;
	struct dns_answer answer;
};

struct dns {
	const struct dns_servers *servers;
	int64_t deadline_ms; /* on the monotonic clock */
	struct dns_asked *asked;
	size_t count;
	size_t cap;
};

void dns_init(struct dns *dns, const struct dns_servers *servers,
	      int64_t deadline_ms);
void dns_free(struct dns *dns);

/*
 * Begin to ask; returns the number of the question. A name that cannot exist
 * is DNS_NONE at once.
 */
size_t dns_ask(struct dns *dns, struct view name, enum dns_type type);

/* Valid until the next dns_ask(); DNS_PENDING while there is none. */
const struct dns_answer *dns_answer(const struct dns *dns, size_t number);

/* Is there a question without an answer? */
bool dns_is_busy(const struct dns *dns);

/* As lib/polls.h says; questions may be added before the former only. */
void dns_prepare(struct dns *dns, struct polls *polls, int64_t *deadline);
void dns_act(struct dns *dns, const struct polls *polls);
/*
 * Both, and the waiting between, for who has nothing else to wait for: until
 * something has come or is over. -1 with errno.
 */
int dns_wait(struct dns *dns, struct polls *polls) MUST_USE;

#endif
