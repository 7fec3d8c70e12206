#include "tools/ucspi/netlist.h"

#include <stdlib.h>

#include "lib/memory.h"

bool netlist_add(struct netlist *list, struct view text)
{
	while (text.p) {
		struct netlist_entry *last;

		list->entries = memory_resize(list->entries, list->count + 1,
					      sizeof(*list->entries));
		last = &list->entries[list->count];
		if (!ipaddr_parse_network(view_cut(&text, ','), &last->network,
					  &last->bits))
			return false;
		list->count++;
	}
	return true;
}

bool netlist_has(const struct netlist *list, const struct ipaddr *ip)
{
	for (size_t i = 0; i < list->count; i++)
		if (ipaddr_within(ip, &list->entries[i].network,
				  list->entries[i].bits))
			return true;
	return false;
}

void netlist_free(struct netlist *list)
{
	free(list->entries);
	*list = (struct netlist){ 0 };
}
