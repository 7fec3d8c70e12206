#include "send/destinations.h"

#include <assert.h>
#include <stdlib.h>

#include "lib/memory.h"
#include "lib/polls.h"

#define BUCKETS 8192

static uint64_t dead_ms(void)
{
#ifdef VALIJA_TEST
	uint64_t ms;

	if (view_u64(view_of(getenv("VALIJA_TEST_DEAD_MS")), &ms))
		return ms;
#endif
	return DESTINATIONS_DEAD_MS;
}

/* ---- lists ---- */

static void line_remove(struct destinations_line *line, struct destination *d)
{
	if (d->previous)
		d->previous->next = d->next;
	else
		line->first = d->next;
	if (d->next)
		d->next->previous = d->previous;
	else
		line->last = d->previous;
	d->next = d->previous = NULL;
}

static void line_append(struct destinations_line *line, struct destination *d)
{
	d->previous = line->last;
	d->next = NULL;
	if (line->last)
		line->last->next = d;
	else
		line->first = d;
	line->last = d;
}

static void move_to(struct destinations *ds, struct destination *d,
		    enum destination_list list)
{
	if (d->list != DESTINATIONS_NONE)
		line_remove(&ds->lists[d->list], d);
	d->list = list;
	if (list != DESTINATIONS_NONE)
		line_append(&ds->lists[list], d);
}

/* ---- what a host may have ---- */

static size_t waiting_with(const struct destination *d)
{
	return d->waiters[false].count + d->waiters[true].count;
}

static uint64_t window_of(const struct destination *d)
{
	return d->was_dead ? 1 : d->window;
}

static enum destination_kind kind_of(const struct destination *d)
{
	if (d && d->is_proven)
		return DESTINATION_PROVEN;
	if (d && !d->is_tried && d->in_flight == 0)
		return DESTINATION_NEW;
	return DESTINATION_DOUBTFUL;
}

/* What is left when a share of the slots is kept, at least one of them. */
static uint64_t all_but(uint64_t slots, uint64_t share)
{
	return slots > 1 ? slots - (slots + share - 1) / share : slots;
}

/* How many slots may be with hosts that do not work, for one more job. */
static uint64_t most_doubtful(const struct destinations *ds,
			      enum destination_kind kind)
{
	switch (kind) {
	case DESTINATION_PROVEN:
		return UINT64_MAX;
	case DESTINATION_NEW:
		return ds->slots < 5 ? ds->slots : all_but(ds->slots, 10);
	case DESTINATION_DOUBTFUL:
	case DESTINATION_KINDS:
		break;
	}
	return all_but(ds->slots, 4);
}

static bool has_slot(const struct destinations *ds, enum destination_kind kind)
{
	return ds->doubtful < most_doubtful(ds, kind);
}

/* No host gets what others are to find free. */
static uint64_t widest(const struct destinations *ds)
{
	return ds->slots < 5 ? ds->slots : all_but(ds->slots, 10);
}

/* Where it belongs: those that may call are in the list of their kind. */
static enum destination_list list_for(const struct destination *d)
{
	if (d->dead_until_ms)
		return DESTINATIONS_DEAD;
	if (waiting_with(d) && d->in_flight < window_of(d))
		return (enum destination_list)kind_of(d);
	if (!waiting_with(d) && !d->in_flight && !d->held)
		return DESTINATIONS_IDLE;
	return DESTINATIONS_NONE;
}

static void settle(struct destinations *ds, struct destination *d)
{
	enum destination_list list = list_for(d);

	if (list != d->list)
		move_to(ds, d, list);
}

/* Those whose time is over. */
static void end_deaths(struct destinations *ds, int64_t now_ms)
{
	struct destination *d;

	while ((d = ds->lists[DESTINATIONS_DEAD].first) &&
	       d->dead_until_ms <= now_ms) {
		d->dead_until_ms = 0;
		settle(ds, d);
	}
}

enum destination_state destinations_state(const struct destinations *ds,
					  const struct destination *d,
					  bool fresh, int64_t now_ms)
{
	if (d && (now_ms < d->dead_until_ms || (d->was_dead && d->in_flight)))
		return DESTINATION_DEAD;
	if (d && d->in_flight >= window_of(d))
		return DESTINATION_FULL;
	if (d &&
	    (d->waiters[true].count || (!fresh && d->waiters[false].count)))
		return DESTINATION_FULL;
	return has_slot(ds, kind_of(d)) ? DESTINATION_OPEN : DESTINATION_SHORT;
}

/* ---- the hosts ---- */

/* FNV-1a, from another start each time. */
static uint64_t hash_from(uint64_t hash, struct view bytes)
{
	for (size_t i = 0; i < bytes.len; i++) {
		hash ^= (unsigned char)ascii_lower(bytes.p[i]);
		hash *= UINT64_C(1099511628211);
	}
	return hash;
}

static struct destination **bucket_of(struct destinations *ds, struct view host)
{
	uint64_t hash = hash_from(ds->seed, host);

	return &ds->buckets[(size_t)(hash ^ hash >> 32) % BUCKETS];
}

void destinations_init(struct destinations *ds, uint64_t slots,
		       const struct schedule *schedule, uint64_t seed)
{
	*ds = (struct destinations){
		.slots = slots,
		.schedule = schedule,
		.seed = seed,
		.dead_ms = dead_ms(),
	};
	ds->buckets = memory_zeroed(BUCKETS, sizeof(struct destination *));
}

static void free_one(struct destination *d)
{
	str_free(&d->host);
	str_free(&d->reason);
	for (int fresh = 0; fresh < 2; fresh++)
		waiters_free(&d->waiters[fresh]);
	free(d);
}

void destinations_free(struct destinations *ds)
{
	for (size_t i = 0; ds->buckets && i < BUCKETS; i++)
		while (ds->buckets[i]) {
			struct destination *d = ds->buckets[i];

			ds->buckets[i] = d->chain;
			free_one(d);
		}
	free(ds->buckets);
	*ds = (struct destinations){ 0 };
}

static void forget(struct destinations *ds, struct destination *d)
{
	struct destination **at = bucket_of(ds, str_view(&d->host));

	while (*at != d)
		at = &(*at)->chain;
	*at = d->chain;
	move_to(ds, d, DESTINATIONS_NONE);
	free_one(d);
	ds->count--;
}

static struct destination *add(struct destinations *ds, struct view host)
{
	struct destination *oldest = ds->lists[DESTINATIONS_IDLE].first;
	struct destination **bucket;
	struct destination *d;

	if (ds->count >= DESTINATIONS_MAX) {
		if (!oldest)
			return NULL;
		forget(ds, oldest);
	}
	d = memory_zeroed(1, sizeof(*d));
	d->list = DESTINATIONS_NONE;
	d->serial = ++ds->serial;
	str_set(&d->host, host);
	str_lower(&d->host);
	d->window = widest(ds) < DESTINATIONS_WINDOW ? widest(ds)
						     : DESTINATIONS_WINDOW;
	bucket = bucket_of(ds, host);
	d->chain = *bucket;
	*bucket = d;
	ds->count++;
	return d;
}

struct destination *destinations_get(struct destinations *ds, struct view host)
{
	struct destination *d = *bucket_of(ds, host);

	while (d && !view_eq_nocase(str_view(&d->host), host))
		d = d->chain;
	if (!d)
		d = add(ds, host);
	if (d) {
		d->held++;
		settle(ds, d);
	}
	return d;
}

void destinations_drop(struct destinations *ds, struct destination *d)
{
	if (!d)
		return;
	assert(d->held);
	d->held--;
	settle(ds, d);
}

/* ---- jobs ---- */

bool destinations_begin(struct destinations *ds, struct destination *d)
{
	bool is_doubtful = kind_of(d) != DESTINATION_PROVEN;

	ds->doubtful += is_doubtful;
	if (d) {
		d->in_flight++;
		settle(ds, d);
	}
	return is_doubtful;
}

void destinations_doubt(struct destinations *ds, struct destination *d)
{
	ds->doubtful++;
	if (d) {
		d->is_proven = false;
		settle(ds, d);
	}
}

static enum destination_news note_working(const struct destinations *ds,
					  struct destination *d)
{
	bool was_dead = d->was_dead;

	d->is_proven = true;
	d->was_dead = false;
	d->dead_until_ms = 0;
	d->failures = 0;
	str_reset(&d->reason);
	if (++d->streak >= d->window) {
		d->streak = 0;
		if (d->window < widest(ds))
			d->window++;
	}
	return was_dead ? DESTINATION_REVIVED : DESTINATION_AS_BEFORE;
}

static enum destination_news note_failure(const struct destinations *ds,
					  struct destination *d,
					  struct view text, int64_t now_ms)
{
	bool was_dead = d->was_dead;

	d->is_proven = false;
	d->streak = 0;
	str_set(&d->reason, text);
	/* Jobs that were under way when it died tell nothing new. */
	if (d->dead_until_ms || ++d->failures < window_of(d))
		return DESTINATION_AS_BEFORE;
	d->failures = 0;
	d->was_dead = true;
	d->dead_until_ms = now_ms + (int64_t)ds->dead_ms;
	if (d->window > 1)
		d->window--;
	return was_dead ? DESTINATION_AS_BEFORE : DESTINATION_DIED;
}

enum destination_news destinations_end(struct destinations *ds,
				       struct destination *d, bool is_doubtful,
				       bool works, struct view text,
				       int64_t now_ms)
{
	enum destination_news news;

	assert(ds->doubtful >= is_doubtful);
	ds->doubtful -= is_doubtful;
	if (!d)
		return DESTINATION_AS_BEFORE;
	assert(d->in_flight);
	d->in_flight--;
	d->is_tried = true;
	end_deaths(ds, now_ms);
	news = works ? note_working(ds, d) : note_failure(ds, d, text, now_ms);
	settle(ds, d);
	return news;
}

void destinations_forgive(struct destinations *ds)
{
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct destination *d = ds->buckets[i]; d; d = d->chain) {
			d->was_dead = false;
			d->dead_until_ms = 0;
			d->failures = 0;
			settle(ds, d);
		}
}

/* ---- waiting ---- */

bool destinations_wait(struct destinations *ds, struct destination *d,
		       bool fresh, const struct waiter *w)
{
	size_t before = waiting_with(d);

	if (ds->waiting >= DESTINATIONS_WAITERS_MAX)
		return false;
	waiters_append(&d->waiters[fresh], ds->schedule, w);
	ds->waiting += waiting_with(d);
	ds->waiting -= before;
	settle(ds, d);
	return true;
}

void destinations_return(struct destinations *ds, struct destination *d,
			 bool fresh, const struct waiter *w)
{
	size_t before = waiting_with(d);

	waiters_return(&d->waiters[fresh], ds->schedule, w);
	ds->waiting += waiting_with(d);
	ds->waiting -= before;
	settle(ds, d);
}

bool destinations_call(struct destinations *ds, int64_t now_ms,
		       struct destination **d, struct waiter *w, bool *fresh)
{
	end_deaths(ds, now_ms);
	for (unsigned i = 0; i < DESTINATION_KINDS; i++) {
		unsigned kind = (ds->turn + i) % DESTINATION_KINDS;
		struct destination *next = ds->lists[kind].first;

		if (!next || !has_slot(ds, (enum destination_kind)kind))
			continue;
		ds->turn = kind + 1;
		*fresh = next->waiters[true].count &&
			 !(next->waiters[false].count && next->calls % 4 == 3);
		next->calls++;
		*w = waiters_take(&next->waiters[*fresh]);
		ds->waiting--;
		next->held++;
		/* The others of its kind come first now. */
		move_to(ds, next, DESTINATIONS_NONE);
		settle(ds, next);
		*d = next;
		return true;
	}
	return false;
}

void destinations_prepare(const struct destinations *ds, int64_t *deadline)
{
	const struct destination *next = ds->lists[DESTINATIONS_DEAD].first;

	if (next)
		polls_until(deadline, next->dead_until_ms);
}
