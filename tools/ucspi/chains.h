#ifndef TOOLS_UCSPI_CHAINS_H
#define TOOLS_UCSPI_CHAINS_H

/*
 * Numbers from 1 to `limit`, in chains by a hash: what a table needs that
 * finds its entries at once. The entries themselves are the caller's, in
 * arrays of limit + 1.
 *
 *	for (no = chains_first(&c, hash); no; no = chains_next(&c, no))
 *		if (entries[no] is the one)
 *			...
 *	no = chains_take(&c, hash);     a new entry
 *	chains_drop(&c, hash, no);
 *
 * All memory comes at once, and what is not used is never touched.
 */

#include "lib/str.h"

struct chains {
	uint32_t *heads;
	uint32_t *next; /* in a chain, or among those given back */
	uint32_t mask;
	uint32_t limit;
	uint32_t used; /* numbers above were never taken */
	uint32_t free; /* the first that was given back, or 0 */
};

void chains_init(struct chains *chains, uint32_t limit);
void chains_free(struct chains *chains);
uint32_t chains_first(const struct chains *chains, uint32_t hash);
uint32_t chains_next(const struct chains *chains, uint32_t no);
/* At most `limit` are taken at a time: the caller sees to that. */
uint32_t chains_take(struct chains *chains, uint32_t hash) MUST_USE;
void chains_drop(struct chains *chains, uint32_t hash, uint32_t no);

#endif
