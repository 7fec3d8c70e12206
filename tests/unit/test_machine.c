#include "tests/unit/unit.h"
#include "tools/daemontools/machine.h"

static struct machine_step step(enum machine_state state,
				enum machine_event event)
{
	return machine_step(state, event);
}

/* Walk events from DOWN; 0 is the end. Counts the TERMs sent. */
static enum machine_state walk(const enum machine_event *events, size_t count,
			       int *stops)
{
	enum machine_state state = MACHINE_DOWN;

	*stops = 0;
	for (size_t i = 0; i < count; i++) {
		struct machine_step next = step(state, events[i]);

		state = next.next;
		*stops += next.stop;
	}
	return state;
}

#define WALK(stops, ...)                                                       \
	walk((const enum machine_event[]){ __VA_ARGS__ },                      \
	     sizeof((const enum machine_event[]){ __VA_ARGS__ }) /             \
		     sizeof(enum machine_event),                               \
	     stops)

static void test_a_service_that_is_wanted_up_comes_up_again(void **state)
{
	int stops;

	(void)state;
	assert_int_equal(WALK(&stops, MACHINE_WANT_UP), MACHINE_DUE);
	assert_int_equal(WALK(&stops, MACHINE_WANT_UP, MACHINE_STARTED),
			 MACHINE_UP);
	assert_int_equal(
		WALK(&stops, MACHINE_WANT_UP, MACHINE_STARTED, MACHINE_DIED),
		MACHINE_DUE);
	assert_int_equal(stops, 0);
}

static void test_down_stops_what_runs_and_nothing_else(void **state)
{
	int stops;

	(void)state;
	assert_int_equal(WALK(&stops, MACHINE_WANT_UP, MACHINE_STARTED,
			      MACHINE_WANT_DOWN),
			 MACHINE_LAST);
	assert_int_equal(stops, 1);
	assert_int_equal(WALK(&stops, MACHINE_WANT_UP, MACHINE_STARTED,
			      MACHINE_WANT_DOWN, MACHINE_DIED),
			 MACHINE_DOWN);
	assert_int_equal(WALK(&stops, MACHINE_WANT_UP, MACHINE_WANT_DOWN),
			 MACHINE_DOWN);
	assert_int_equal(stops, 0);
}

static void test_once_lets_it_run_and_does_not_repeat(void **state)
{
	int stops;

	(void)state;
	assert_int_equal(WALK(&stops, MACHINE_WANT_ONCE, MACHINE_STARTED),
			 MACHINE_LAST);
	assert_int_equal(
		WALK(&stops, MACHINE_WANT_ONCE, MACHINE_STARTED, MACHINE_DIED),
		MACHINE_DOWN);
	assert_int_equal(WALK(&stops, MACHINE_WANT_UP, MACHINE_STARTED,
			      MACHINE_WANT_ONCE, MACHINE_DIED),
			 MACHINE_DOWN);
	assert_int_equal(stops, 0);
}

static void test_up_takes_down_back_before_the_service_is_dead(void **state)
{
	int stops;

	(void)state;
	assert_int_equal(WALK(&stops, MACHINE_WANT_UP, MACHINE_STARTED,
			      MACHINE_WANT_DOWN, MACHINE_WANT_UP, MACHINE_DIED),
			 MACHINE_DUE);
}

static void test_exit_waits_for_the_service_and_then_is_final(void **state)
{
	int stops;

	(void)state;
	assert_int_equal(WALK(&stops, MACHINE_WANT_EXIT), MACHINE_GONE);
	assert_int_equal(WALK(&stops, MACHINE_WANT_UP, MACHINE_STARTED,
			      MACHINE_WANT_EXIT),
			 MACHINE_LEAVING);
	assert_int_equal(stops, 0);
	assert_int_equal(WALK(&stops, MACHINE_WANT_UP, MACHINE_STARTED,
			      MACHINE_WANT_DOWN, MACHINE_WANT_EXIT,
			      MACHINE_WANT_UP, MACHINE_DIED),
			 MACHINE_GONE);
	assert_int_equal(stops, 1);
}

static void test_no_step_leads_out_of_gone(void **state)
{
	(void)state;
	for (int event = 0; event < MACHINE_EVENTS; event++)
		assert_int_equal(step(MACHINE_GONE, event).next, MACHINE_GONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_a_service_that_is_wanted_up_comes_up_again),
		cmocka_unit_test(test_down_stops_what_runs_and_nothing_else),
		cmocka_unit_test(test_once_lets_it_run_and_does_not_repeat),
		cmocka_unit_test(
			test_up_takes_down_back_before_the_service_is_dead),
		cmocka_unit_test(
			test_exit_waits_for_the_service_and_then_is_final),
		cmocka_unit_test(test_no_step_leads_out_of_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
