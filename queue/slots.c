#include "queue/slots.h"

#include <assert.h>
#include <stdlib.h>

#include "lib/die.h"

#define NOBODY ((uid_t)-1)

static uid_t uid_of(const struct ids *ids, const char *name)
{
	uid_t uid;
	gid_t gid;

	return ids_user(ids, name, &uid, &gid) == 0 ? uid : NOBODY;
}

static size_t at_least_one(size_t n)
{
	return n ? n : 1;
}

void slots_init(struct slots *slots, size_t total, const struct ids *ids)
{
	*slots = (struct slots){
		.total = total,
		.single = ids->single,
		.send_uid = uid_of(ids, "qmails"),
		.network_uid = uid_of(ids, "qmaild"),
		.alias_uid = uid_of(ids, "alias"),
	};
	slots->kept[SLOTS_SEND] = total / 10;
	slots->kept[SLOTS_DELIVERY] = total / 5;
	slots->kept[SLOTS_NETWORK] = total / 5;
	slots->uid_limit[SLOTS_SEND] = total;
	slots->uid_limit[SLOTS_DELIVERY] = at_least_one(total / 2);
	slots->uid_limit[SLOTS_NETWORK] = total;
	slots->uid_limit[SLOTS_OTHER] = at_least_one(total / 10);
	slots->holders = calloc(total, sizeof(*slots->holders));
	if (!slots->holders)
		die(EXIT_RETRY, "out of memory");
}

/* `uid gid`, decimal; other lines (prefixes of homes) are not for us. */
static bool parse_ids(struct view line, uid_t *uid)
{
	struct view first = view_cut(&line, ' ');
	uint64_t number;
	uint64_t gid;

	if (!view_u64(first, &number) || number >= NOBODY ||
	    !view_u64(view_trim(line), &gid))
		return false;
	*uid = (uid_t)number;
	return true;
}

void slots_delivery_ids(struct slots *slots, struct view text)
{
	uid_t uid;

	str_reset(&slots->delivery_uids);
	while (text.p)
		if (parse_ids(view_trim(view_cut(&text, '\n')), &uid))
			str_append(&slots->delivery_uids,
				   view_make(&uid, sizeof(uid)));
}

void slots_free(struct slots *slots)
{
	free(slots->holders);
	str_free(&slots->delivery_uids);
	*slots = (struct slots){ 0 };
}

static bool delivers(const struct slots *slots, uid_t uid)
{
	struct view rest = str_view(&slots->delivery_uids);
	uid_t listed;

	for (; rest.len; rest = view_from(rest, sizeof(listed))) {
		memcpy(&listed, rest.p, sizeof(listed));
		if (listed == uid)
			return true;
	}
	return uid == slots->alias_uid;
}

static enum slots_kind kind_of(const struct slots *slots, uid_t uid)
{
	if (slots->single || uid == slots->send_uid)
		return SLOTS_SEND;
	if (uid == slots->network_uid)
		return SLOTS_NETWORK;
	return delivers(slots, uid) ? SLOTS_DELIVERY : SLOTS_OTHER;
}

/* How many slots are free for this kind. */
static size_t available(const struct slots *slots, enum slots_kind kind)
{
	size_t taken = 0;

	for (size_t k = 0; k < SLOTS_KINDS; k++) {
		taken += slots->used[k];
		/* What earlier kinds do not use of theirs stays free. */
		if (k < kind && slots->kept[k] > slots->used[k])
			taken += slots->kept[k] - slots->used[k];
	}
	return taken < slots->total ? slots->total - taken : 0;
}

/* The entry of this uid, or a free one: there are as many as slots. */
static struct slots_holder *holder_of(struct slots *slots, uid_t uid)
{
	struct slots_holder *free_one = NULL;

	for (size_t i = 0; i < slots->total; i++) {
		struct slots_holder *holder = &slots->holders[i];

		if (holder->used && holder->uid == uid)
			return holder;
		if (holder->used == 0 && !free_one)
			free_one = holder;
	}
	return free_one;
}

bool slots_take(struct slots *slots, uid_t uid, enum slots_kind *kind)
{
	struct slots_holder *holder;

	*kind = kind_of(slots, uid);
	if (available(slots, *kind) == 0)
		return false;
	holder = holder_of(slots, uid);
	assert(holder);
	if (holder->used >= slots->uid_limit[*kind])
		return false;
	holder->uid = uid;
	holder->used++;
	slots->used[*kind]++;
	return true;
}

void slots_give(struct slots *slots, uid_t uid, enum slots_kind kind)
{
	struct slots_holder *holder = holder_of(slots, uid);

	assert(holder && holder->used && slots->used[kind]);
	holder->used--;
	slots->used[kind]--;
}
