#include "send/group.h"

#include <stdlib.h>

#include "lib/memory.h"

void group_tick(struct group_ticks *ticks, uint64_t number)
{
	size_t at = (size_t)(number / 8);

	if (at >= ticks->bytes) {
		size_t bytes = at + at / 2 + 64;

		ticks->bits = memory_resize(ticks->bits, bytes, 1);
		memset(ticks->bits + ticks->bytes, 0, bytes - ticks->bytes);
		ticks->bytes = bytes;
	}
	ticks->bits[at] |= (unsigned char)(1U << number % 8);
}

bool group_is_ticked(const struct group_ticks *ticks, uint64_t number)
{
	return number / 8 < ticks->bytes &&
	       ticks->bits[number / 8] & 1U << number % 8;
}

void group_free(struct group_ticks *ticks)
{
	free(ticks->bits);
	*ticks = (struct group_ticks){ 0 };
}

struct view group_host(struct view address)
{
	return view_from(address, view_find_last(address, '@') + 1);
}

static bool may_be_rewritten(struct view address)
{
	return view_has(address, '%') || !view_has(address, '@');
}

bool group_may_be_at(struct view address, struct view host)
{
	return view_eq_nocase(group_host(address), host) ||
	       may_be_rewritten(address);
}

bool group_is_plainly_at(struct view address, struct view host)
{
	return view_eq_nocase(group_host(address), host) &&
	       !may_be_rewritten(address);
}
