#ifndef LIB_NAMEMAP_H
#define LIB_NAMEMAP_H

/*
 * A control file as a map: `locals`, `percenthack` (names only) and
 * `virtualdomains` (`name:value`). ASCII case does not count in names. When
 * a name stands twice, the later line rules, as in qmail.
 *
 *	struct namemap map;
 *
 *	namemap_build(&map, &list, true);      the list is empty afterwards
 *	if (namemap_find(&map, VIEW("example.org"), &value))
 *		...
 *	namemap_free(&map);
 *
 * A hash, so that a hundred thousand domains cost no more than ten.
 */

#include "lib/control.h"
#include "lib/str.h"

struct namemap_entry {
	struct view name; /* p NULL: an empty place */
	struct view value;
};

struct namemap {
	struct control_list list; /* owns the text */
	struct namemap_entry *table;
	size_t mask; /* size of the table - 1 */
};

/*
 * Takes the list's memory. With `valued`, each entry is cut at its first
 * colon, and one without a colon is skipped.
 */
void namemap_build(struct namemap *map, struct control_list *list, bool valued);
/* value may be NULL. False when there is no such name. */
bool namemap_find(const struct namemap *map, struct view name,
		  struct view *value);
void namemap_free(struct namemap *map);

#endif
