#include "send/verp.h"

#define MARK VIEW("-@[]")

bool verp_is(struct view sender)
{
	return view_ends(sender, MARK);
}

struct view verp_owner(struct view sender)
{
	if (verp_is(sender))
		sender.len -= MARK.len;
	return sender;
}

void verp_expand(struct str *to, struct view sender, struct view recipient)
{
	struct view owner = verp_owner(sender);
	size_t owner_at = view_find_last(owner, '@');
	size_t at = view_find_last(recipient, '@');

	str_reset(to);
	if (owner.len == sender.len || owner_at == owner.len ||
	    at == recipient.len) {
		str_append(to, sender);
		return;
	}
	str_append(to, view_first(owner, owner_at));
	str_append(to, view_first(recipient, at));
	str_append_byte(to, '=');
	str_append(to, view_from(recipient, at + 1));
	str_append(to, view_from(owner, owner_at));
}
