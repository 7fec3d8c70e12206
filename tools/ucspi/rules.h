#ifndef TOOLS_UCSPI_RULES_H
#define TOOLS_UCSPI_RULES_H

/*
 * Compiled connection rules: which one applies, and what it says.
 *
 * The cdb is the one of ucspi-tcp's tcprules. A key is an address as in
 * tcprules(1); its value is a sequence of instructions, each ending in NUL:
 * `D` (deny) or `+NAME=value` (set a variable).
 *
 * IPv6 networks are keys like `2001:db8::/32`, host bits cleared. So that a
 * search need not try 128 of them, the key `/` lists the lengths in use,
 * longest first: `64 32`. IPv4 networks have no keys of their own: the
 * compiler writes them as prefixes that end in a dot.
 */

#include "lib/cdbmap.h"
#include "lib/str.h"

/* Key of the list of IPv6 prefix lengths. */
#define RULES_LENGTHS_KEY VIEW("/")

/* Who connects. host and info have p NULL when they are not known. */
struct rules_peer {
	struct view ip;
	struct view host;
	struct view info;
};

/*
 * The first rule in tcprules(1)'s order. On CDBMAP_FOUND *key and *data hold
 * it; on anything else they mean nothing.
 */
enum cdbmap_result rules_find(struct cdbmap *map, const struct rules_peer *peer,
			      struct str *key, struct str *data) MUST_USE;

/* Does this value deny the connection? */
bool rules_deny(struct view data);

/*
 * The next variable in a value: start with *rest = the value. Names are
 * never empty and hold no `=`; neither part holds a NUL.
 */
bool rules_next_variable(struct view *rest, struct view *name,
			 struct view *value);

#endif
