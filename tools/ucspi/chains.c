#include "tools/ucspi/chains.h"

#include <assert.h>
#include <stdlib.h>

#include "lib/memory.h"

void chains_init(struct chains *chains, uint32_t limit)
{
	uint32_t size = 1;

	while (size < limit)
		size *= 2;
	*chains = (struct chains){ .mask = size - 1, .limit = limit };
	chains->heads = memory_zeroed(size, sizeof(*chains->heads));
	chains->next = memory_zeroed((size_t)limit + 1, sizeof(*chains->next));
}

void chains_free(struct chains *chains)
{
	free(chains->heads);
	free(chains->next);
	*chains = (struct chains){ 0 };
}

uint32_t chains_first(const struct chains *chains, uint32_t hash)
{
	return chains->heads[hash & chains->mask];
}

uint32_t chains_next(const struct chains *chains, uint32_t no)
{
	return chains->next[no];
}

uint32_t chains_take(struct chains *chains, uint32_t hash)
{
	uint32_t *head = &chains->heads[hash & chains->mask];
	uint32_t no = chains->free;

	if (no) {
		chains->free = chains->next[no];
	} else {
		assert(chains->used < chains->limit);
		no = ++chains->used;
	}
	chains->next[no] = *head;
	*head = no;
	return no;
}

void chains_drop(struct chains *chains, uint32_t hash, uint32_t no)
{
	uint32_t *link = &chains->heads[hash & chains->mask];

	while (*link != no) {
		assert(*link != 0);
		link = &chains->next[*link];
	}
	*link = chains->next[no];
	chains->next[no] = chains->free;
	chains->free = no;
}
