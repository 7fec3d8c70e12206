#include "lib/namemap.h"

#include <stdint.h>
#include <stdlib.h>

#include "lib/memory.h"

/* FNV-1a over lower case. */
static size_t hash(struct view name)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < name.len; i++) {
		h ^= (unsigned char)ascii_lower(name.p[i]);
		h *= UINT64_C(0x100000001b3);
	}
	return (size_t)(h ^ h >> 32);
}

/* The place where `name` is, or belongs. The table is never full. */
static struct namemap_entry *place(const struct namemap *map, struct view name)
{
	size_t at = hash(name) & map->mask;

	while (map->table[at].name.p &&
	       !view_eq_nocase(map->table[at].name, name))
		at = (at + 1) & map->mask;
	return &map->table[at];
}

static size_t count_entries(const struct control_list *list)
{
	struct view rest = control_list_start(list);
	struct view entry;
	size_t count = 0;

	while (control_list_next(&rest, &entry))
		count++;
	return count;
}

/* A table of a power of two, at most half full. */
static void make_table(struct namemap *map)
{
	size_t size = 8;

	while (size < 2 * count_entries(&map->list))
		size *= 2;
	map->table = memory_zeroed(size, sizeof(*map->table));
	map->mask = size - 1;
}

void namemap_build(struct namemap *map, struct control_list *list, bool valued)
{
	struct view rest;
	struct view entry;

	*map = (struct namemap){ .list = *list };
	*list = (struct control_list){ 0 };
	make_table(map);
	for (rest = control_list_start(&map->list);
	     control_list_next(&rest, &entry);) {
		size_t colon = valued ? view_find(entry, ':') : entry.len;
		struct view name = view_first(entry, colon);

		if (valued && colon == entry.len)
			continue;
		*place(map, name) = (struct namemap_entry){
			.name = name,
			.value = view_from(entry, colon + 1),
		};
	}
}

bool namemap_find(const struct namemap *map, struct view name,
		  struct view *value)
{
	const struct namemap_entry *entry;

	if (!map->table)
		return false;
	entry = place(map, name);
	if (!entry->name.p)
		return false;
	if (value)
		*value = entry->value;
	return true;
}

void namemap_free(struct namemap *map)
{
	control_list_free(&map->list);
	free(map->table);
	*map = (struct namemap){ 0 };
}
