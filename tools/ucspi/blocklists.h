#ifndef TOOLS_UCSPI_BLOCKLISTS_H
#define TOOLS_UCSPI_BLOCKLISTS_H

/*
 * Lists in DNS of addresses that no mail is taken from, and of those that
 * it always is taken from (RFC 5782), and what several of them say together.
 *
 *	blocklists_add(&lists, &(struct blocklist){ .base = base });
 *	blocklists_query(&lists.list[0], &ip, &name)     what to ask
 *	blocklists_note(&lists.list[0], answer, ip_text) what came
 *	verdict = blocklists_judge(&lists, &text)
 *
 * All may be asked at the same time, but they count in their order: what
 * comes behind a decision does not change it.
 */

#include "lib/dns_packet.h"

struct blocklist {
	/* From the command line; views are borrowed. */
	struct view base; /* with `:text` behind it, perhaps */
	bool allows;      /* who is named here may send */
	bool is_final;    /* refuse for good, not for now */
	bool fails_closed;
	unsigned weight; /* 0: the limit, it refuses alone */

	struct view text; /* our own words; p == NULL: the list's */
	enum dns_result result;
	struct str said; /* what to tell the client */
};

#define BLOCKLISTS_LIMIT_DEFAULT 100

/* All-zero but for the limit is a valid empty one. */
struct blocklists {
	unsigned limit; /* refuse when the weights are this much */
	struct blocklist *list;
	size_t count;
	size_t cap;
};

/* False when its base is no name, or has a text that is empty or useless. */
bool blocklists_add(struct blocklists *lists,
		    const struct blocklist *list) MUST_USE;
void blocklists_free(struct blocklists *lists);

/* Append the name of ip in the list; returns the type to ask for. */
enum dns_type blocklists_query(const struct blocklist *list,
			       const struct ipaddr *ip, struct str *name);
/* Keep an answer, once there is one. */
void blocklists_note(struct blocklist *list, const struct dns_answer *answer,
		     struct view ip_text);
/* Nothing could be asked. */
void blocklists_fail(struct blocklists *lists);

enum verdict {
	VERDICT_PENDING, /* answers are missing that may decide */
	VERDICT_PASS,
	VERDICT_DEFER,  /* refuse for now */
	VERDICT_REFUSE, /* for good */
};

/* *text is overwritten; empty unless somebody is refused. */
enum verdict blocklists_judge(const struct blocklists *lists, struct str *text);

#endif
