#include "send/schedule.h"

#include <assert.h>
#include <stdlib.h>

#include "lib/die.h"
#include "lib/memory.h"

_Static_assert(sizeof(struct schedule_entry) + DUE_COUNT * sizeof(uint32_t) <
		       80,
	       "a resting message costs under 100 bytes, growth included");

/* A quarter more: half as much again would waste what a million rest in. */
static void *grow(void *p, size_t *cap, size_t size)
{
	*cap += *cap / 4 + 64;
	return memory_resize(p, *cap, size);
}

/* ---- the heaps ---- */

static struct schedule_entry *entry_of(const struct schedule *s, uint32_t no)
{
	assert(no < s->used && s->entries[no].id);
	return &s->entries[no];
}

/* Which of its times, and which heap. */
struct line {
	enum due which;
	bool fresh;
	struct schedule_heap *heap;
};

static struct line line_of(struct schedule *s, enum due which, bool fresh)
{
	return (struct line){
		.which = which,
		.fresh = fresh,
		.heap = &s->heaps[fresh ? DUE_COUNT + which : which],
	};
}

static bool comes_before(const struct schedule *s, struct line line, uint32_t a,
			 uint32_t b)
{
	const struct schedule_entry *x = &s->entries[a];
	const struct schedule_entry *y = &s->entries[b];

	if (line.fresh)
		return x->id < y->id;
	if (x->due[line.which] != y->due[line.which])
		return x->due[line.which] < y->due[line.which];
	return x->id > y->id;
}

static void put(struct schedule *s, struct line line, size_t at, uint32_t no)
{
	line.heap->nos[at] = no;
	s->entries[no].place[line.which] = (uint32_t)(at + 1);
}

static void sift_up(struct schedule *s, struct line line, size_t at)
{
	uint32_t *nos = line.heap->nos;
	uint32_t no = nos[at];

	while (at && comes_before(s, line, no, nos[(at - 1) / 2])) {
		put(s, line, at, nos[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	put(s, line, at, no);
}

static void sift_down(struct schedule *s, struct line line, size_t at)
{
	struct schedule_heap *heap = line.heap;
	uint32_t no = heap->nos[at];

	for (;;) {
		size_t child = 2 * at + 1;

		if (child >= heap->count)
			break;
		if (child + 1 < heap->count &&
		    comes_before(s, line, heap->nos[child + 1],
				 heap->nos[child]))
			child++;
		if (!comes_before(s, line, heap->nos[child], no))
			break;
		put(s, line, at, heap->nos[child]);
		at = child;
	}
	put(s, line, at, no);
}

static void take_out(struct schedule *s, enum due which, uint32_t no)
{
	struct schedule_entry *entry = &s->entries[no];
	struct line line = line_of(s, which, entry->flags & 1U << which);
	size_t at = entry->place[which];
	uint32_t last;

	if (at == 0)
		return;
	entry->place[which] = 0;
	last = line.heap->nos[--line.heap->count];
	if (last == no)
		return;
	put(s, line, at - 1, last);
	sift_up(s, line, at - 1);
	sift_down(s, line, s->entries[last].place[which] - 1);
}

static void put_in(struct schedule *s, enum due which, uint32_t no)
{
	struct line line =
		line_of(s, which, s->entries[no].flags & 1U << which);
	struct schedule_heap *heap = line.heap;

	if (heap->count == heap->cap)
		heap->nos = grow(heap->nos, &heap->cap, sizeof(*heap->nos));
	heap->nos[heap->count] = no;
	sift_up(s, line, heap->count++);
}

/* ---- messages ---- */

uint32_t schedule_add(struct schedule *s, uint64_t id)
{
	struct schedule_entry *entry;
	uint32_t no;

	assert(id);
	if (s->first_free) {
		no = s->first_free - 1;
		s->first_free = s->entries[no].place[0];
	} else {
		if (s->used == s->cap)
			s->entries =
				grow(s->entries, &s->cap, sizeof(*s->entries));
		if (s->used >= UINT32_MAX - 1)
			die(EXIT_RETRY, "too many messages");
		no = (uint32_t)s->used++;
	}
	entry = &s->entries[no];
	*entry = (struct schedule_entry){ .id = id };
	for (int which = 0; which < DUE_COUNT; which++)
		entry->due[which] = DUE_NEVER;
	s->count++;
	return no;
}

void schedule_remove(struct schedule *s, uint32_t no)
{
	struct schedule_entry *entry = entry_of(s, no);

	for (int which = 0; which < DUE_COUNT; which++)
		take_out(s, (enum due)which, no);
	*entry = (struct schedule_entry){ .id = 0 };
	entry->place[0] = s->first_free;
	s->first_free = no + 1;
	s->count--;
}

static void place(struct schedule *s, uint32_t no, enum due which, int64_t due,
		  bool fresh)
{
	struct schedule_entry *entry = entry_of(s, no);

	take_out(s, which, no);
	entry->due[which] = due;
	entry->flags &= ~(1U << which);
	if (fresh)
		entry->flags |= 1U << which;
	if (due != DUE_NEVER)
		put_in(s, which, no);
}

void schedule_set(struct schedule *s, uint32_t no, enum due which, int64_t due)
{
	place(s, no, which, due, false);
}

void schedule_set_fresh(struct schedule *s, uint32_t no, enum due which,
			int64_t now)
{
	place(s, no, which, now, true);
}

bool schedule_is(const struct schedule *s, uint32_t no, uint64_t id)
{
	return no < s->used && s->entries[no].id == id;
}

void schedule_flag(struct schedule *s, uint32_t no, uint32_t set,
		   uint32_t clear)
{
	struct schedule_entry *entry = entry_of(s, no);

	entry->flags = (entry->flags | set) & ~clear;
}

const struct schedule_entry *schedule_entry(const struct schedule *s,
					    uint32_t no)
{
	return entry_of(s, no);
}

void schedule_next_round(struct schedule *s, uint32_t no)
{
	entry_of(s, no)->flags += SCHEDULE_ROUND;
}

uint32_t schedule_round(const struct schedule_entry *entry)
{
	return entry->flags / SCHEDULE_ROUND;
}

/* ---- time ---- */

int64_t schedule_next(const struct schedule *s, enum due which, bool fresh)
{
	const struct schedule_heap *heap =
		&s->heaps[fresh ? DUE_COUNT + which : which];

	return heap->count ? s->entries[heap->nos[0]].due[which] : DUE_NEVER;
}

bool schedule_top(const struct schedule *s, enum due which, bool fresh,
		  int64_t now, uint32_t *no)
{
	int64_t due = schedule_next(s, which, fresh);

	if (due == DUE_NEVER || due > now)
		return false;
	*no = s->heaps[fresh ? DUE_COUNT + which : which].nos[0];
	return true;
}

static void run_all(struct schedule *s, enum due which, int64_t now)
{
	struct line line = line_of(s, which, false);

	for (size_t at = 0; at < line.heap->count; at++) {
		struct schedule_entry *entry = &s->entries[line.heap->nos[at]];

		if (entry->due[which] > now)
			entry->due[which] = now;
	}
	for (size_t at = line.heap->count / 2; at-- > 0;)
		sift_down(s, line, at);
}

void schedule_run_all(struct schedule *s, int64_t now)
{
	for (int which = 0; which < DUE_COUNT; which++)
		run_all(s, (enum due)which, now);
}

void schedule_shift(struct schedule *s, int64_t seconds)
{
	for (size_t no = 0; no < s->used; no++)
		for (int which = 0; which < DUE_COUNT; which++)
			if (s->entries[no].id &&
			    s->entries[no].due[which] != DUE_NEVER)
				s->entries[no].due[which] -= seconds;
}

void schedule_free(struct schedule *s)
{
	free(s->entries);
	for (int heap = 0; heap < SCHEDULE_HEAPS; heap++)
		free(s->heaps[heap].nos);
	*s = (struct schedule){ 0 };
}
