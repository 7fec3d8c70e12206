#ifndef LIB_REWRITE_H
#define LIB_REWRITE_H

/*
 * Where an envelope address goes: is it local, and under which name?
 *
 *	struct rewrite rewrite = { 0 };
 *	struct str plain = { 0 };
 *	struct str target = { 0 };
 *
 *	if (rewrite_load(&rewrite, homefd, &file) == -1) ...file is to blame
 *	kind = rewrite_address(&rewrite, address, &plain, &target);
 *
 * The rules are qmail-send's, in this order:
 *
 * 1. an address without `@` gets `@` and control/envnoathost;
 * 2. while its domain is in control/percenthack and its local part has a
 *    `%`, the domain goes and the last `%` becomes `@`;
 * 3. a domain in control/locals is local;
 * 4. the whole address, its domain, each `.suffix` of the domain and the
 *    empty name are looked up, in this order, in control/virtualdomains. The
 *    first one found rules: `name:prepend` makes it local, under
 *    `prepend-address`; an empty prepend says that it is not virtual;
 * 5. everything else is remote.
 */

#include "lib/namemap.h"
#include "lib/str.h"

struct rewrite {
	struct str envnoathost;
	struct namemap percenthack;
	struct namemap locals;
	struct namemap virtualdomains;
};

enum rewrite_kind {
	REWRITE_LOCAL,
	REWRITE_REMOTE,
};

/* 0, or -1 with errno and in *file the name of what cannot be read. */
int rewrite_load(struct rewrite *rewrite, int homefd,
		 const char **file) MUST_USE;
/* locals and virtualdomains anew; on -1 the old ones stay. */
int rewrite_reload(struct rewrite *rewrite, int homefd,
		   const char **file) MUST_USE;
void rewrite_free(struct rewrite *rewrite);

/*
 * *plain: the address after rules 1 and 2, which people know it by.
 * *target: what the delivery goes to. Both are overwritten.
 */
enum rewrite_kind rewrite_address(const struct rewrite *rewrite,
				  struct view address, struct str *plain,
				  struct str *target);

#endif
