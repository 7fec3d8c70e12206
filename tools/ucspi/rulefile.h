#ifndef TOOLS_UCSPI_RULEFILE_H
#define TOOLS_UCSPI_RULEFILE_H

/*
 * The text of connection rules, a line at a time, and the keys that each
 * makes. Pure functions: nothing is read or written here.
 *
 *	if (rule_parse(line, &rule) == RULE_OK) {
 *		while (rule_next_key(&rule, &key))
 *			add(key, rule.data);
 *	}
 *	rule_free(&rule);
 */

#include "lib/str.h"

enum rule_result {
	RULE_OK,
	RULE_NONE,     /* a comment or an empty line */
	RULE_NO_COLON, /* ignored, as ucspi-tcp does; worth a warning */
	RULE_BAD,
};

struct rule {
	struct view address; /* as written; borrowed from the line */
	struct str data;     /* the cdb value: rules.h */

	/*
	 * For an IPv4 or IPv6 network, its length. `loose` networks (IPv4,
	 * length no multiple of 8) share keys with others: of two that make
	 * the same key the longer one must come first in the file.
	 */
	unsigned bits;
	bool loose;
	bool v6_network;

	/* The keys: head, then a number where ranged, then tail. */
	struct str head;
	struct str tail;
	bool ranged;
	unsigned from;
	unsigned to; /* to < from: no (more) keys */
	bool lower;  /* also a copy of the key in lower case */
};

/* *rule needs no init and always a free. */
enum rule_result rule_parse(struct view line, struct rule *rule) MUST_USE;
/* *key is overwritten. */
bool rule_next_key(struct rule *rule, struct str *key);
void rule_free(struct rule *rule);

#endif
