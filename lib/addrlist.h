#ifndef LIB_ADDRLIST_H
#define LIB_ADDRLIST_H

/*
 * Address lists in header fields (RFC 5322 section 3.4, with what section
 * 4.4 and mail programs of forty years add to it).
 *
 *	struct addrlist list = { .text = value };
 *	struct addrlist_item item = { 0 };
 *
 *	while ((result = addrlist_next(&list, &item)) == ADDRLIST_ADDRESS)
 *		use(str_view(&item.address));
 *	if (result == ADDRLIST_BAD) ...
 *	addrlist_item_free(&item);
 *
 * Understood: names and comments, quoted strings, groups, domain literals,
 * source routes (read and dropped), folds, UTF-8 anywhere, backslash pairs,
 * empty elements, and blanks or comments between all tokens. Words that
 * stand where an address is due are addresses without a domain: `djb fred`
 * is two of them with a comma missing. In `a@b <a@b>` the first is a name. A
 * group that the end of the text cuts off is taken as closed.
 *
 * Nothing is copied but the addresses; time and memory are linear.
 */

#include "lib/str.h"

enum addrlist_result {
	ADDRLIST_ADDRESS,
	ADDRLIST_END,
	ADDRLIST_BAD, /* cannot be understood; do not go on */
};

struct addrlist {
	struct view text;
	/* Private from here on; all zero at the start. */
	size_t at;
	size_t plain_until; /* no name's end lies before this */
	bool in_group;
	size_t behind;   /* the end of the last address */
	bool need_comma; /* an address without a comma behind it so far */
};

#define ADDRLIST_NOWHERE SIZE_MAX

struct addrlist_item {
	/*
	 * As everywhere in the house (lib/address.h): not quoted, the domain
	 * behind the last `@`. `<>` is empty. It may hold any byte but
	 * control characters.
	 */
	struct str address;
	bool has_domain;
	bool routed; /* a source route stood before it */
	bool in_angle;
	/* Where it stands in the text: the address alone, without brackets. */
	size_t start;
	size_t end;
	/* Where a comma is missing in front of it, or ADDRLIST_NOWHERE. */
	size_t comma_at;
};

/* *item is overwritten. */
enum addrlist_result addrlist_next(struct addrlist *list,
				   struct addrlist_item *item) MUST_USE;
/* After ADDRLIST_END: the text lacks the `;` that ends its last group. */
bool addrlist_cut_off(const struct addrlist *list);
void addrlist_item_free(struct addrlist_item *item);

#endif
