#include "queue/slots.h"

/* cmocka.h wants these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum uids { ALIAS = 11, QMAILD = 12, QMAILS = 13, VMAIL = 89, USER = 1000 };

static const char ids_text[] = "alias 11 20\nqmaild 12 20\nqmails 13 21\n"
			       "qmailq 14 21\n";

static void begin(struct slots *slots, size_t total)
{
	struct ids ids = { 0 };

	str_append_c(&ids.text, ids_text);
	slots_init(slots, total, &ids);
	ids_free(&ids);
}

/* How many this uid gets until it is refused. */
static size_t take_all(struct slots *slots, uid_t uid)
{
	enum slots_kind kind;
	size_t count = 0;

	while (slots_take(slots, uid, &kind))
		count++;
	return count;
}

static void test_one_uid_has_a_limit(void **state)
{
	struct slots slots;

	(void)state;
	begin(&slots, 200);
	assert_int_equal(take_all(&slots, USER), 20);
	assert_int_equal(take_all(&slots, USER + 1), 20);
	slots_give(&slots, USER, SLOTS_OTHER);
	assert_int_equal(take_all(&slots, USER), 1);
	slots_free(&slots);
}

static void test_strangers_leave_what_is_kept(void **state)
{
	struct slots slots;
	size_t taken = 0;

	(void)state;
	begin(&slots, 200);
	slots_delivery_ids(&slots, VIEW("89 89\n"));
	for (uid_t uid = USER; uid < USER + 50; uid++)
		taken += take_all(&slots, uid);
	assert_int_equal(taken, 200 - 20 - 40 - 40);
	/* Each kind leaves what is kept for those before it. */
	assert_int_equal(take_all(&slots, QMAILD), 40);
	assert_int_equal(take_all(&slots, VMAIL), 40);
	assert_int_equal(take_all(&slots, QMAILS), 20);
	assert_int_equal(take_all(&slots, QMAILS), 0);
	slots_free(&slots);
}

static void test_network_alone_leaves_room_for_deliveries(void **state)
{
	struct slots slots;

	(void)state;
	begin(&slots, 200);
	assert_int_equal(take_all(&slots, QMAILD), 200 - 20 - 40);
	assert_int_equal(take_all(&slots, ALIAS), 40);
	assert_int_equal(take_all(&slots, QMAILS), 20);
	slots_free(&slots);
}

static void test_kept_slots_in_use_are_not_kept_twice(void **state)
{
	struct slots slots;
	enum slots_kind kind;
	size_t taken = 0;

	(void)state;
	begin(&slots, 200);
	for (int i = 0; i < 20; i++) {
		assert_true(slots_take(&slots, QMAILS, &kind));
		assert_int_equal(kind, SLOTS_SEND);
	}
	for (uid_t uid = USER; uid < USER + 50; uid++)
		taken += take_all(&slots, uid);
	assert_int_equal(taken, 100);
	slots_free(&slots);
}

static void test_single_uid_has_only_the_total(void **state)
{
	struct ids ids = { .single = true, .single_uid = USER };
	struct slots slots;

	(void)state;
	slots_init(&slots, 50, &ids);
	assert_int_equal(take_all(&slots, USER), 50);
	slots_free(&slots);
}

static void test_every_total_gives_somebody_something(void **state)
{
	(void)state;
	for (size_t total = 1; total < 50; total++) {
		struct slots slots;

		begin(&slots, total);
		assert_true(take_all(&slots, USER) > 0);
		slots_free(&slots);
	}
}

static void test_deliveryids_lines(void **state)
{
	static const struct {
		uid_t uid;
		bool delivers;
	} cases[] = {
		{ 89, true }, { 1000, true },   { 1001, true }, { 5, false },
		{ 7, false }, { 12345, false }, { 0, true },
	};
	struct slots slots;

	(void)state;
	begin(&slots, 200);
	slots_delivery_ids(&slots, VIEW("# users\n89 89\n1000 1000 \n"
					"/home/5 5\n  1001 100\n7\n"
					"7 x\n12345678901 1\n0 0"));
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		enum slots_kind kind;

		assert_true(slots_take(&slots, cases[i].uid, &kind));
		assert_int_equal(kind, cases[i].delivers ? SLOTS_DELIVERY
							 : SLOTS_OTHER);
		slots_give(&slots, cases[i].uid, kind);
	}
	slots_free(&slots);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_uid_has_a_limit),
		cmocka_unit_test(test_strangers_leave_what_is_kept),
		cmocka_unit_test(test_network_alone_leaves_room_for_deliveries),
		cmocka_unit_test(test_kept_slots_in_use_are_not_kept_twice),
		cmocka_unit_test(test_single_uid_has_only_the_total),
		cmocka_unit_test(test_every_total_gives_somebody_something),
		cmocka_unit_test(test_deliveryids_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
