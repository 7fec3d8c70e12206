#ifndef SEND_VERP_H
#define SEND_VERP_H

/*
 * Variable envelope return paths. A sender `owner-@host-@[]` stands for a
 * sender of its own for each recipient: for box@home it is
 * `owner-box=home@host`, so that a bounce tells whose it is.
 */

#include "lib/str.h"

/* Overwrite *to with the sender for this recipient. */
void verp_expand(struct str *to, struct view sender, struct view recipient);
/* Does each recipient get a sender of his own? */
bool verp_is(struct view sender);
/* Where a bounce of the whole message goes: owner-@host. */
struct view verp_owner(struct view sender);

#endif
