#include "send/waiters.h"

#include <assert.h>
#include <stdlib.h>

#include "lib/memory.h"

bool waiter_make(struct waiter *w, const struct schedule *s, uint32_t no,
		 const struct qfile_cursor *at)
{
	const struct schedule_entry *entry = schedule_entry(s, no);

	*w = (struct waiter){
		.id = entry->id,
		.no = no,
		.round = schedule_round(entry),
		.offset = (uint32_t)at->offset,
		.number = (uint32_t)at->number,
	};
	return at->offset <= UINT32_MAX && at->number <= UINT32_MAX;
}

bool waiter_is_current(const struct waiter *w, const struct schedule *s)
{
	return schedule_is(s, w->no, w->id) &&
	       schedule_round(schedule_entry(s, w->no)) == w->round;
}

struct qfile_cursor waiter_cursor(const struct waiter *w)
{
	return (struct qfile_cursor){
		.offset = w->offset,
		.number = w->number,
	};
}

static void drop_old_ones(struct waiters *ws, const struct schedule *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < ws->count; i++) {
		struct waiter w = ws->ring[(ws->first + i) % ws->cap];

		if (waiter_is_current(&w, s))
			ws->ring[(ws->first + kept++) % ws->cap] = w;
	}
	ws->count = kept;
}

static void make_room(struct waiters *ws, const struct schedule *s)
{
	struct waiter *ring;
	size_t cap;

	if (ws->count < ws->cap)
		return;
	drop_old_ones(ws, s);
	assert(ws->count <= ws->cap);
	/* Else the next one would soon make us look at all of them again. */
	if (ws->cap && ws->count <= ws->cap / 2)
		return;
	cap = ws->cap + ws->cap / 2 + 4;
	ring = memory_zeroed(cap, sizeof(*ring));
	for (size_t i = 0; i < ws->count; i++)
		ring[i] = ws->ring[(ws->first + i) % ws->cap];
	free(ws->ring);
	ws->ring = ring;
	ws->first = 0;
	ws->cap = cap;
}

void waiters_append(struct waiters *ws, const struct schedule *s,
		    const struct waiter *w)
{
	make_room(ws, s);
	ws->ring[(ws->first + ws->count++) % ws->cap] = *w;
}

void waiters_return(struct waiters *ws, const struct schedule *s,
		    const struct waiter *w)
{
	make_room(ws, s);
	ws->first = (ws->first + ws->cap - 1) % ws->cap;
	ws->ring[ws->first] = *w;
	ws->count++;
}

struct waiter waiters_take(struct waiters *ws)
{
	struct waiter taken;

	assert(ws->count);
	taken = ws->ring[ws->first];
	ws->first = (ws->first + 1) % ws->cap;
	if (--ws->count == 0)
		waiters_free(ws);
	return taken;
}

void waiters_free(struct waiters *ws)
{
	free(ws->ring);
	*ws = (struct waiters){ 0 };
}
