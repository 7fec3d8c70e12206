#include "tests/unit/unit.h"

#include "send/group.h"

static void test_only_who_was_ticked_is(void **state)
{
	static const uint64_t some[] = { 0, 7, 8, 1000, 511, 512, 399999 };
	struct group_ticks ticks = { 0 };
	size_t count = 0;

	(void)state;
	assert_false(group_is_ticked(&ticks, 0));
	assert_false(group_is_ticked(&ticks, UINT64_MAX));
	for (size_t i = 0; i < COUNT_OF(some); i++) {
		assert_false(group_is_ticked(&ticks, some[i]));
		group_tick(&ticks, some[i]);
	}
	for (uint64_t n = 0; n < 500000; n++)
		count += group_is_ticked(&ticks, n);
	assert_int_equal(count, COUNT_OF(some));
	for (size_t i = 0; i < COUNT_OF(some); i++)
		assert_true(group_is_ticked(&ticks, some[i]));
	group_free(&ticks);
	assert_false(group_is_ticked(&ticks, 0));
}

static void test_hosts_are_behind_the_last_at(void **state)
{
	(void)state;
	assert_true(view_eq(group_host(VIEW("\"a@b\"@c.d")), VIEW("c.d")));
	assert_int_equal(group_host(VIEW("a@")).len, 0);
	assert_int_equal(group_host(VIEW("a")).len, 0);
	assert_true(group_may_be_at(VIEW("a@X.y"), VIEW("x.Y")));
	assert_false(group_may_be_at(VIEW("a@x.y"), VIEW("x.z")));
	assert_false(group_may_be_at(VIEW("a@x.y"), VIEW("b.x.y")));
	assert_true(group_is_plainly_at(VIEW("a@X.y"), VIEW("x.Y")));
	assert_false(group_is_plainly_at(VIEW("a@x.y"), VIEW("x.z")));
	assert_false(group_is_plainly_at(VIEW("a%b@x.y"), VIEW("x.y")));
	/* These depend on control files. */
	assert_true(group_may_be_at(VIEW("a%x.y@hack"), VIEW("x.y")));
	assert_true(group_may_be_at(VIEW("a"), VIEW("x.y")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_who_was_ticked_is),
		cmocka_unit_test(test_hosts_are_behind_the_last_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
