#include "tests/unit/unit.h"

#include <stdio.h>

#include "send/destinations.h"

#define SLOTS 20
#define FAILED VIEW("no connection")

struct fixture {
	struct schedule schedule;
	struct destinations ds;
	int64_t now; /* ms */
};

static void set_up(struct fixture *f, uint64_t slots)
{
	*f = (struct fixture){ .now = 1000000 };
	destinations_init(&f->ds, slots, &f->schedule, 1);
}

static void tear_down(struct fixture *f)
{
	destinations_free(&f->ds);
	schedule_free(&f->schedule);
}

static struct destination *host(struct fixture *f, const char *name)
{
	return destinations_get(&f->ds, view_of(name));
}

static struct destination *numbered(struct fixture *f, unsigned n)
{
	char name[40];

	snprintf(name, sizeof(name), "h%u.example", n);
	return host(f, name);
}

static enum destination_state state(struct fixture *f,
				    const struct destination *d)
{
	return destinations_state(&f->ds, d, true, f->now);
}

/* Those that count as doubtful are answered first. */
static enum destination_news answer(struct fixture *f, struct destination *d,
				    bool works)
{
	return destinations_end(&f->ds, d, f->ds.doubtful > 0, works, FAILED,
				f->now);
}

/* One job, from its beginning to its end. */
static enum destination_news job(struct fixture *f, struct destination *d,
				 bool works)
{
	bool is_doubtful = destinations_begin(&f->ds, d);

	return destinations_end(&f->ds, d, is_doubtful, works, FAILED, f->now);
}

/* As many jobs as it may have; they stay in flight. */
static unsigned fill(struct fixture *f, struct destination *d)
{
	unsigned count = 0;

	while (state(f, d) == DESTINATION_OPEN) {
		bool is_doubtful = destinations_begin(&f->ds, d);

		assert_int_equal(is_doubtful, !d->is_proven);
		count++;
	}
	return count;
}

static void die_of_it(struct fixture *f, struct destination *d)
{
	while (job(f, d, false) != DESTINATION_DIED)
		;
	assert_int_equal(state(f, d), DESTINATION_DEAD);
}

static void test_a_window_begins_with_five(void **unused)
{
	struct fixture f;
	struct destination *d;

	(void)unused;
	set_up(&f, SLOTS);
	d = host(&f, "a.example");
	assert_ptr_equal(d, host(&f, "A.Example"));
	assert_int_equal(fill(&f, d), 5);
	assert_int_equal(state(&f, d), DESTINATION_FULL);
	tear_down(&f);
}

static void test_a_window_grows_by_one_a_windowful(void **unused)
{
	struct fixture f;
	struct destination *d;

	(void)unused;
	set_up(&f, SLOTS);
	d = host(&f, "a.example");
	for (int i = 0; i < 4; i++)
		assert_int_equal(job(&f, d, true), DESTINATION_AS_BEFORE);
	assert_int_equal(d->window, 5);
	job(&f, d, true);
	assert_int_equal(d->window, 6);
	/* A failure between them begins the count anew. */
	for (int i = 0; i < 5; i++)
		job(&f, d, true);
	job(&f, d, false);
	job(&f, d, true);
	assert_int_equal(d->window, 6);
	for (int i = 0; i < 1000; i++)
		job(&f, d, true);
	assert_int_equal(fill(&f, d), 18);
	tear_down(&f);
}

static void test_a_windowful_of_failures_is_death(void **unused)
{
	struct fixture f;
	struct destination *d;

	(void)unused;
	set_up(&f, SLOTS);
	d = host(&f, "a.example");
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 4; i++)
			assert_int_equal(job(&f, d, false),
					 DESTINATION_AS_BEFORE);
		job(&f, d, true);
	}
	die_of_it(&f, d);
	assert_int_equal(d->window, 4);
	assert_str(&d->reason, "no connection");
	f.now += DESTINATIONS_DEAD_MS - 1;
	assert_int_equal(state(&f, d), DESTINATION_DEAD);
	f.now++;
	assert_int_equal(state(&f, d), DESTINATION_OPEN);
	tear_down(&f);
}

static void test_one_probe_at_a_time(void **unused)
{
	struct fixture f;
	struct destination *d;

	(void)unused;
	set_up(&f, SLOTS);
	d = host(&f, "a.example");
	die_of_it(&f, d);
	f.now += DESTINATIONS_DEAD_MS;
	assert_int_equal(fill(&f, d), 1);
	assert_int_equal(state(&f, d), DESTINATION_DEAD);
	/* It says nothing new, and another minute begins. */
	assert_int_equal(answer(&f, d, false), DESTINATION_AS_BEFORE);
	assert_int_equal(state(&f, d), DESTINATION_DEAD);
	f.now += DESTINATIONS_DEAD_MS;
	assert_int_equal(job(&f, d, true), DESTINATION_REVIVED);
	assert_int_equal(fill(&f, d), 3);
	tear_down(&f);
}

static void test_jobs_under_way_when_it_died(void **unused)
{
	struct fixture f;
	struct destination *d;
	int64_t until;

	(void)unused;
	set_up(&f, SLOTS);
	d = host(&f, "a.example");
	for (int i = 0; i < 5; i++)
		job(&f, d, true);
	assert_int_equal(fill(&f, d), 6);
	job(&f, d, false);
	for (int i = 0; i < 5; i++)
		answer(&f, d, false);
	assert_int_equal(state(&f, d), DESTINATION_DEAD);
	until = d->dead_until_ms;
	/* The last of them neither prolongs it ... */
	f.now += 1000;
	assert_int_equal(answer(&f, d, false), DESTINATION_AS_BEFORE);
	assert_true(d->dead_until_ms == until);
	tear_down(&f);

	/* ... nor is it ignored when it tells better. */
	set_up(&f, SLOTS);
	d = host(&f, "a.example");
	assert_int_equal(fill(&f, d), 5);
	die_of_it(&f, d);
	assert_int_equal(answer(&f, d, true), DESTINATION_REVIVED);
	assert_int_equal(state(&f, d), DESTINATION_FULL);
	tear_down(&f);
}

static void test_slots_are_kept(void **unused)
{
	struct fixture f;
	struct destination *works;
	struct destination *new;

	(void)unused;
	set_up(&f, SLOTS);
	works = host(&f, "works.example");
	job(&f, works, true);
	for (unsigned n = 0; n < 3; n++)
		assert_int_equal(fill(&f, numbered(&f, n)), 5);
	/* Three quarters are with hosts that have not answered. */
	new = numbered(&f, 3);
	assert_int_equal(fill(&f, new), 1);
	assert_int_equal(state(&f, new), DESTINATION_SHORT);
	assert_int_equal(fill(&f, numbered(&f, 4)), 1);
	assert_int_equal(fill(&f, numbered(&f, 5)), 1);
	assert_int_equal(fill(&f, numbered(&f, 6)), 0);
	assert_int_equal(state(&f, NULL), DESTINATION_SHORT);
	assert_int_equal(fill(&f, works), 5);
	/* One that has answered leaves room. */
	answer(&f, new, true);
	assert_int_equal(fill(&f, numbered(&f, 6)), 1);
	tear_down(&f);
}

static void test_few_slots_are_used(void **unused)
{
	static const struct {
		uint64_t slots;
		unsigned first; /* jobs for one host that is silent */
		unsigned second;
	} cases[] = {
		{ 0, 0, 0 }, { 1, 1, 0 }, { 2, 1, 1 },
		{ 3, 2, 1 }, { 4, 3, 1 }, { 10, 5, 2 },
	};

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct fixture f;

		set_up(&f, cases[i].slots);
		assert_int_equal(fill(&f, numbered(&f, 0)), cases[i].first);
		assert_int_equal(fill(&f, numbered(&f, 1)), cases[i].second);
		tear_down(&f);
	}
}

static void test_a_long_job_raises_doubts(void **unused)
{
	struct fixture f;
	struct destination *d;

	(void)unused;
	set_up(&f, 4);
	d = host(&f, "a.example");
	job(&f, d, true);
	assert_int_equal(fill(&f, d), 4);
	for (int i = 0; i < 3; i++)
		destinations_doubt(&f.ds, d);
	answer(&f, d, true);
	assert_int_equal(state(&f, d), DESTINATION_OPEN);
	for (int i = 0; i < 3; i++)
		answer(&f, d, true);
	assert_int_equal(f.ds.doubtful, 0);
	tear_down(&f);
}

/* ---- waiting ---- */

static void wait_at(struct fixture *f, struct destination *d, bool fresh,
		    uint64_t id)
{
	uint32_t no = schedule_add(&f->schedule, id);
	struct qfile_cursor at = { .offset = (size_t)id, .number = id };
	struct waiter w;

	assert_true(waiter_make(&w, &f->schedule, no, &at));
	assert_true(destinations_wait(&f->ds, d, fresh, &w));
}

/* The id of whose turn it is, and a job for it; 0: nobody's. */
static uint64_t call(struct fixture *f)
{
	struct destination *d;
	struct waiter w;
	bool fresh;

	if (!destinations_call(&f->ds, f->now, &d, &w, &fresh))
		return 0;
	assert_int_equal(w.number, w.id);
	if (destinations_begin(&f->ds, d))
		f->now++; /* only so that the result is used */
	destinations_drop(&f->ds, d);
	return w.id;
}

static void test_who_waits_is_called_when_there_is_room(void **unused)
{
	struct fixture f;
	struct destination *d;

	(void)unused;
	set_up(&f, SLOTS);
	d = host(&f, "a.example");
	fill(&f, d);
	for (uint64_t id = 1; id <= 7; id++)
		wait_at(&f, d, true, id);
	assert_int_equal(call(&f), 0);
	answer(&f, d, true);
	/* Who comes now waits behind them. */
	assert_int_equal(state(&f, d), DESTINATION_FULL);
	assert_int_equal(call(&f), 1);
	assert_int_equal(call(&f), 0);
	for (uint64_t id = 2; id <= 7; id++) {
		answer(&f, d, true);
		assert_int_equal(call(&f), id);
	}
	tear_down(&f);
}

static void test_fresh_mail_gets_three_calls_of_four(void **unused)
{
	struct fixture f;
	struct destination *d;
	unsigned fresh = 0;

	(void)unused;
	set_up(&f, SLOTS);
	d = host(&f, "a.example");
	for (uint64_t id = 1; id <= 100; id++)
		wait_at(&f, d, id <= 50, id);
	/* Fresh mail passes by old mail that waits, but not by fresh one. */
	assert_int_equal(destinations_state(&f.ds, d, false, f.now),
			 DESTINATION_FULL);
	for (int i = 0; i < 40; i++) {
		fresh += call(&f) <= 50;
		answer(&f, d, true);
	}
	assert_int_equal(fresh, 30);
	tear_down(&f);
}

static void test_hosts_call_in_turn(void **unused)
{
	struct fixture f;
	struct destination *d[3];

	(void)unused;
	set_up(&f, SLOTS);
	for (unsigned n = 0; n < 3; n++) {
		d[n] = numbered(&f, n);
		job(&f, d[n], true);
		for (uint64_t id = 1; id <= 4; id++)
			wait_at(&f, d[n], true, n * 10 + id);
	}
	for (uint64_t id = 1; id <= 4; id++)
		for (unsigned n = 0; n < 3; n++)
			assert_int_equal(call(&f), n * 10 + id);
	assert_int_equal(call(&f), 0);
	tear_down(&f);
}

static void test_silent_hosts_cannot_call_for_every_slot(void **unused)
{
	struct fixture f;
	struct destination *works;
	unsigned silent = 0;

	(void)unused;
	set_up(&f, SLOTS);
	for (unsigned n = 0; n < 100; n++) {
		struct destination *d = numbered(&f, n);

		for (uint64_t i = 0; i < 10; i++)
			wait_at(&f, d, true, 1000 + n * 10 + i);
		destinations_drop(&f.ds, d);
	}
	while (call(&f) >= 1000)
		silent++;
	assert_int_equal(silent, 18);
	works = host(&f, "works.example");
	works->is_proven = true;
	wait_at(&f, works, false, 1);
	assert_int_equal(call(&f), 1);
	tear_down(&f);
}

static void test_a_dead_host_calls_for_its_probe(void **unused)
{
	struct fixture f;
	struct destination *d;
	int64_t deadline = INT64_MAX;

	(void)unused;
	set_up(&f, SLOTS);
	d = host(&f, "a.example");
	die_of_it(&f, d);
	for (uint64_t id = 1; id <= 20; id++)
		wait_at(&f, d, true, id);
	assert_int_equal(call(&f), 0);
	destinations_prepare(&f.ds, &deadline);
	assert_true(deadline == f.now + DESTINATIONS_DEAD_MS);
	f.now = deadline;
	assert_int_equal(call(&f), 1);
	assert_int_equal(call(&f), 0);
	assert_int_equal(answer(&f, d, true), DESTINATION_REVIVED);
	for (uint64_t id = 2; id <= 5; id++)
		assert_int_equal(call(&f), id);
	assert_int_equal(call(&f), 0);
	tear_down(&f);
}

static void test_who_is_not_done_is_first_again(void **unused)
{
	struct fixture f;
	struct destination *d;
	struct waiter w;
	bool fresh;

	(void)unused;
	set_up(&f, SLOTS);
	d = host(&f, "a.example");
	wait_at(&f, d, false, 1);
	wait_at(&f, d, false, 2);
	assert_true(destinations_call(&f.ds, f.now, &d, &w, &fresh));
	assert_false(fresh);
	w.number = (uint32_t)w.id;
	destinations_return(&f.ds, d, fresh, &w);
	assert_int_equal(call(&f), 1);
	assert_int_equal(call(&f), 2);
	assert_int_equal(f.ds.waiting, 0);
	tear_down(&f);
}

static void test_all_are_forgiven(void **unused)
{
	struct fixture f;
	struct destination *d;

	(void)unused;
	set_up(&f, SLOTS);
	d = host(&f, "a.example");
	die_of_it(&f, d);
	wait_at(&f, d, true, 1);
	destinations_forgive(&f.ds);
	assert_int_equal(call(&f), 1);
	assert_int_equal(fill(&f, host(&f, "b.example")), 5);
	tear_down(&f);
}

/* ---- memory ---- */

static void test_what_was_used_longest_ago_is_forgotten(void **unused)
{
	struct fixture f;
	struct destination *busy;
	struct destination *d;
	uint64_t serial;

	(void)unused;
	set_up(&f, SLOTS);
	busy = numbered(&f, 0);
	serial = busy->serial;
	for (unsigned n = 1; n < DESTINATIONS_MAX; n++)
		destinations_drop(&f.ds, numbered(&f, n));
	d = numbered(&f, 1); /* so 2 is the oldest */
	job(&f, d, true);
	destinations_drop(&f.ds, d);
	destinations_drop(&f.ds, host(&f, "one.more.example"));
	assert_int_equal(f.ds.count, DESTINATIONS_MAX);
	assert_true(numbered(&f, 1)->is_proven);
	assert_int_equal(numbered(&f, 0)->serial, serial);
	d = numbered(&f, 2);
	assert_true(d->serial > DESTINATIONS_MAX);
	tear_down(&f);
}

static void test_where_none_can_be_forgotten_there_is_no_window(void **unused)
{
	struct fixture f;
	struct destination *d;

	(void)unused;
	set_up(&f, SLOTS);
	for (unsigned n = 0; n < DESTINATIONS_MAX; n++)
		assert_non_null(numbered(&f, n));
	assert_null(host(&f, "one.more.example"));
	assert_int_equal(state(&f, NULL), DESTINATION_OPEN);
	assert_true(destinations_begin(&f.ds, NULL));
	assert_int_equal(answer(&f, NULL, false), DESTINATION_AS_BEFORE);
	d = numbered(&f, 7);
	destinations_drop(&f.ds, d);
	destinations_drop(&f.ds, d);
	assert_non_null(host(&f, "one.more.example"));
	tear_down(&f);
}

static void test_old_rounds_take_no_room(void **unused)
{
	struct fixture f;
	struct destination *d;
	struct qfile_cursor at = { 0 };
	struct waiter w;

	(void)unused;
	set_up(&f, SLOTS);
	d = host(&f, "a.example");
	for (uint64_t id = 1; id <= 100; id++)
		schedule_add(&f.schedule, id);
	for (int round = 0; round < 1000; round++)
		for (uint32_t no = 0; no < 100; no++) {
			schedule_next_round(&f.schedule, no);
			assert_true(waiter_make(&w, &f.schedule, no, &at));
			assert_true(destinations_wait(&f.ds, d, true, &w));
		}
	assert_true(f.ds.waiting < 1000);
	assert_true(d->waiters[true].cap < 1000);
	assert_int_equal(f.ds.waiting, d->waiters[true].count);
	assert_true(waiter_is_current(&w, &f.schedule));
	schedule_remove(&f.schedule, 99);
	assert_false(waiter_is_current(&w, &f.schedule));
	tear_down(&f);
}

static void test_no_more_wait_than_may(void **unused)
{
	struct fixture f;
	struct qfile_cursor at = { 0 };
	struct destination *d;
	struct waiter w;

	(void)unused;
	set_up(&f, SLOTS);
	d = host(&f, "a.example");
	assert_true(waiter_make(&w, &f.schedule, schedule_add(&f.schedule, 1),
				&at));
	for (uint64_t i = 0; i < DESTINATIONS_WAITERS_MAX; i++)
		assert_true(destinations_wait(&f.ds, d, true, &w));
	assert_false(destinations_wait(&f.ds, d, true, &w));
	at.offset = (size_t)UINT32_MAX + 1;
	assert_false(waiter_make(&w, &f.schedule, 0, &at));
	tear_down(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_window_begins_with_five),
		cmocka_unit_test(test_a_window_grows_by_one_a_windowful),
		cmocka_unit_test(test_a_windowful_of_failures_is_death),
		cmocka_unit_test(test_one_probe_at_a_time),
		cmocka_unit_test(test_jobs_under_way_when_it_died),
		cmocka_unit_test(test_slots_are_kept),
		cmocka_unit_test(test_few_slots_are_used),
		cmocka_unit_test(test_a_long_job_raises_doubts),
		cmocka_unit_test(test_who_waits_is_called_when_there_is_room),
		cmocka_unit_test(test_fresh_mail_gets_three_calls_of_four),
		cmocka_unit_test(test_hosts_call_in_turn),
		cmocka_unit_test(test_silent_hosts_cannot_call_for_every_slot),
		cmocka_unit_test(test_a_dead_host_calls_for_its_probe),
		cmocka_unit_test(test_who_is_not_done_is_first_again),
		cmocka_unit_test(test_all_are_forgiven),
		cmocka_unit_test(test_what_was_used_longest_ago_is_forgotten),
		cmocka_unit_test(
			test_where_none_can_be_forgotten_there_is_no_window),
		cmocka_unit_test(test_old_rounds_take_no_room),
		cmocka_unit_test(test_no_more_wait_than_may),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
