#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "send/schedule.h"

#define NOW 1000000

static uint32_t add(struct schedule *s, uint64_t id, enum due which,
		    int64_t due)
{
	uint32_t no = schedule_add(s, id);

	schedule_set(s, no, which, due);
	return no;
}

/* The id on top, or 0. */
static uint64_t top(const struct schedule *s, enum due which, bool fresh,
		    int64_t now)
{
	uint32_t no;

	if (!schedule_top(s, which, fresh, now, &no))
		return 0;
	return schedule_entry(s, no)->id;
}

static void test_what_is_due_longest_comes_first(void **state)
{
	struct schedule s = { 0 };

	(void)state;
	add(&s, 1, DUE_LOCAL, NOW + 5);
	add(&s, 2, DUE_LOCAL, NOW - 5);
	add(&s, 3, DUE_LOCAL, NOW);
	assert_int_equal(top(&s, DUE_LOCAL, false, NOW), 2);
	assert_int_equal(schedule_next(&s, DUE_LOCAL, false), NOW - 5);
	assert_int_equal(top(&s, DUE_LOCAL, false, NOW - 6), 0);
	assert_int_equal(top(&s, DUE_REMOTE, false, NOW), 0);
	assert_true(schedule_next(&s, DUE_REMOTE, false) == DUE_NEVER);
	schedule_free(&s);
}

static void test_of_the_same_second_the_youngest_comes_first(void **state)
{
	struct schedule s = { 0 };

	(void)state;
	for (uint64_t id = 1; id <= 50; id++)
		add(&s, id * 7 % 51, DUE_REMOTE, NOW);
	for (uint64_t id = 50; id >= 1; id--) {
		uint32_t no;

		assert_int_equal(top(&s, DUE_REMOTE, false, NOW), id);
		assert_true(schedule_top(&s, DUE_REMOTE, false, NOW, &no));
		schedule_remove(&s, no);
	}
	assert_int_equal(s.count, 0);
	schedule_free(&s);
}

static void test_fresh_ones_have_a_heap_of_their_own(void **state)
{
	struct schedule s = { 0 };
	uint32_t no;

	(void)state;
	add(&s, 1, DUE_LOCAL, NOW - 100);
	no = schedule_add(&s, 3);
	schedule_set_fresh(&s, no, DUE_LOCAL, NOW);
	schedule_set_fresh(&s, schedule_add(&s, 2), DUE_LOCAL, NOW);
	assert_int_equal(top(&s, DUE_LOCAL, false, NOW), 1);
	assert_int_equal(top(&s, DUE_LOCAL, true, NOW), 2);
	/* Tried once, it is fresh no more. */
	schedule_set(&s, no, DUE_LOCAL, NOW - 200);
	assert_int_equal(top(&s, DUE_LOCAL, false, NOW), 3);
	assert_false(schedule_entry(&s, no)->flags & 1U << DUE_LOCAL);
	schedule_free(&s);
}

static void test_the_three_times_are_independent(void **state)
{
	struct schedule s = { 0 };
	uint32_t no = add(&s, 1, DUE_LOCAL, NOW);

	(void)state;
	schedule_set(&s, no, DUE_REMOTE, NOW + 1);
	schedule_set(&s, no, DUE_END, NOW + 2);
	schedule_set(&s, no, DUE_LOCAL, DUE_NEVER);
	assert_int_equal(top(&s, DUE_LOCAL, false, NOW + 9), 0);
	assert_int_equal(top(&s, DUE_REMOTE, false, NOW + 9), 1);
	assert_int_equal(schedule_next(&s, DUE_END, false), NOW + 2);
	schedule_remove(&s, no);
	assert_int_equal(top(&s, DUE_REMOTE, false, NOW + 9), 0);
	schedule_free(&s);
}

static void test_run_all_makes_everything_due(void **state)
{
	struct schedule s = { 0 };

	(void)state;
	for (uint64_t id = 1; id < 100; id++)
		add(&s, id, DUE_REMOTE, NOW + (int64_t)(id * 37 % 100));
	schedule_run_all(&s, NOW);
	for (uint64_t id = 99; id >= 1; id--) {
		uint32_t no;

		assert_true(schedule_top(&s, DUE_REMOTE, false, NOW, &no));
		assert_int_equal(schedule_entry(&s, no)->id, id);
		schedule_set(&s, no, DUE_REMOTE, DUE_NEVER);
	}
	schedule_free(&s);
}

static void test_shift_keeps_the_order(void **state)
{
	struct schedule s = { 0 };

	(void)state;
	add(&s, 1, DUE_LOCAL, NOW + 10);
	add(&s, 2, DUE_LOCAL, NOW + 20);
	schedule_shift(&s, 3600);
	assert_int_equal(schedule_next(&s, DUE_LOCAL, false), NOW + 10 - 3600);
	assert_int_equal(top(&s, DUE_LOCAL, false, NOW), 1);
	assert_true(schedule_next(&s, DUE_REMOTE, false) == DUE_NEVER);
	schedule_free(&s);
}

/* Against a plain array, with everything that may happen at random. */
static void test_heap_agrees_with_a_search(void **state)
{
	enum { MESSAGES = 200 };
	struct schedule s = { 0 };
	uint32_t nos[MESSAGES];
	int64_t dues[MESSAGES];

	(void)state;
	srandom(1);
	for (size_t i = 0; i < MESSAGES; i++) {
		nos[i] = schedule_add(&s, i + 1);
		dues[i] = DUE_NEVER;
	}
	for (int round = 0; round < 20000; round++) {
		size_t at = (size_t)random() % MESSAGES;
		int64_t least = DUE_NEVER;

		dues[at] = random() % 4 ? random() % 1000 : DUE_NEVER;
		if (random() % 8 == 0) {
			schedule_remove(&s, nos[at]);
			nos[at] = schedule_add(&s, at + 1);
		}
		schedule_set(&s, nos[at], DUE_REMOTE, dues[at]);
		for (size_t i = 0; i < MESSAGES; i++)
			if (dues[i] < least)
				least = dues[i];
		assert_true(schedule_next(&s, DUE_REMOTE, false) == least);
	}
	assert_int_equal(s.used, MESSAGES);
	schedule_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_due_longest_comes_first),
		cmocka_unit_test(
			test_of_the_same_second_the_youngest_comes_first),
		cmocka_unit_test(test_fresh_ones_have_a_heap_of_their_own),
		cmocka_unit_test(test_the_three_times_are_independent),
		cmocka_unit_test(test_run_all_makes_everything_due),
		cmocka_unit_test(test_shift_keeps_the_order),
		cmocka_unit_test(test_heap_agrees_with_a_search),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
