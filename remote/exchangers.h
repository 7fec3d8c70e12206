#ifndef REMOTE_EXCHANGERS_H
#define REMOTE_EXCHANGERS_H

/*
 * Where DNS says that mail for a host goes (RFC 5321 section 5.1, RFC 7505).
 *
 *	struct exchangers e = { 0 };
 *
 *	switch (exchangers_find(&e, host, &own)) {
 *	case EXCHANGERS_FOUND:
 *		...e.ips, e.count, the best first
 *	...
 *	exchangers_free(&e);
 *
 * Mail exchangers of the same preference come in random order; one that is
 * ourselves takes all that are no better with it. A host without any is its
 * own. What was found is used again for the same host for EXCHANGERS_KEPT_MS.
 */

#include "lib/dns.h"
#include "remote/ownaddress.h"

#define EXCHANGERS_MAX_HOSTS 16 /* that are looked up, of those DNS names */
#define EXCHANGERS_MAX 16       /* addresses */
#define EXCHANGERS_TIME_MS 60000
#define EXCHANGERS_KEPT_MS 30000

enum exchangers_result {
	EXCHANGERS_FOUND,
	EXCHANGERS_TROUBLE, /* nobody could say: for now */
	EXCHANGERS_NO_HOST, /* there is no such host: for good, as the rest */
	EXCHANGERS_NO_ADDRESS, /* it has exchangers, and none has an address */
	EXCHANGERS_NO_MAIL,    /* it says that it takes none */
	EXCHANGERS_OURSELVES,  /* the best is this host */
};

struct exchangers {
	struct ipaddr ips[EXCHANGERS_MAX];
	size_t count;
	/* The rest is its own. */
	struct str host; /* that the addresses are kept for; empty for none */
	struct str own;  /* who we were then; empty for a relay */
	int64_t kept_until_ms;
	bool has_servers;
	struct dns_servers servers;
};

enum exchangers_result exchangers_find(struct exchangers *e, struct view host,
				       const struct ownaddress *own) MUST_USE;
/* The addresses of a relay, which may be our own: FOUND, TROUBLE, NO_HOST. */
enum exchangers_result exchangers_of_relay(struct exchangers *e,
					   struct view relay) MUST_USE;
/* Addresses that are known from elsewhere; nothing is kept of them. */
void exchangers_set(struct exchangers *e, const struct ipaddr *ips,
		    size_t count);
/* Ask again next time. */
void exchangers_forget(struct exchangers *e);
void exchangers_free(struct exchangers *e);

#endif
