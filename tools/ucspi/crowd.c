#include "tools/ucspi/crowd.h"

#include <stdlib.h>

#include "lib/memory.h"
#include "lib/random.h"

int crowd_init(struct crowd *crowd, unsigned limit, unsigned bits,
	       unsigned bits6)
{
	*crowd = (struct crowd){ .bits = bits, .bits6 = bits6 };
	if (random_fill(crowd->keys, sizeof(crowd->keys)) == -1)
		return -1;
	chains_init(&crowd->chains, limit);
	crowd->groups =
		memory_zeroed((size_t)limit + 1, sizeof(*crowd->groups));
	return 0;
}

void crowd_free(struct crowd *crowd)
{
	if (crowd->groups)
		chains_free(&crowd->chains);
	free(crowd->groups);
	*crowd = (struct crowd){ 0 };
}

static struct ipaddr network_of(const struct crowd *crowd,
				const struct ipaddr *ip)
{
	struct ipaddr network = *ip;

	ipaddr_mask(&network, ip->v6 ? crowd->bits6 : crowd->bits);
	return network;
}

/* Multilinear hashing: two addresses meet with chance 2^-32, for any two. */
static uint32_t hash(const struct crowd *crowd, const struct ipaddr *network)
{
	uint64_t sum = crowd->keys[4] + network->v6;

	for (unsigned i = 0; i < 4; i++) {
		uint32_t word;

		memcpy(&word, network->bytes + (size_t)4 * i, sizeof(word));
		sum += crowd->keys[i] * word;
	}
	return (uint32_t)(sum >> 32);
}

static uint32_t find(const struct crowd *crowd, const struct ipaddr *network)
{
	uint32_t no = chains_first(&crowd->chains, hash(crowd, network));

	while (no && !ipaddr_same(&crowd->groups[no].network, network))
		no = chains_next(&crowd->chains, no);
	return no;
}

unsigned crowd_count(const struct crowd *crowd, const struct ipaddr *ip)
{
	struct ipaddr network = network_of(crowd, ip);

	return crowd->groups ? crowd->groups[find(crowd, &network)].count : 0;
}

uint32_t crowd_enter(struct crowd *crowd, const struct ipaddr *ip)
{
	struct ipaddr network = network_of(crowd, ip);
	uint32_t no;

	if (!crowd->groups)
		return 0;
	no = find(crowd, &network);
	if (no == 0) {
		no = chains_take(&crowd->chains, hash(crowd, &network));
		crowd->groups[no].network = network;
	}
	crowd->groups[no].count++;
	return no;
}

void crowd_leave(struct crowd *crowd, uint32_t no)
{
	struct crowd_group *group;

	if (no == 0)
		return;
	group = &crowd->groups[no];
	if (--group->count == 0)
		chains_drop(&crowd->chains, hash(crowd, &group->network), no);
}
