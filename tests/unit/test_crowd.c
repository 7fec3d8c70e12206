#include "tests/unit/unit.h"
#include "tools/ucspi/crowd.h"

#define LIMIT 200

static struct ipaddr ip_of(const char *text)
{
	struct ipaddr ip;

	assert_true(ipaddr_parse(view_of(text), &ip));
	return ip;
}

static void test_a_network_is_counted_as_one(void **state)
{
	static const struct {
		const char *here;
		const char *asked;
		bool together;
	} cases[] = {
		{ "192.0.2.1", "192.0.2.1", true },
		{ "192.0.2.1", "192.0.2.255", true },
		{ "192.0.2.1", "192.0.3.1", false },
		{ "::ffff:192.0.2.1", "192.0.2.1", true },
		{ "2001:db8::1", "2001:db8:0:0:ffff::", true },
		{ "2001:db8::1", "2001:db8:0:1::1", false },
		{ "0.0.0.0", "::", false },
		{ "1.2.3.0", "102:300::", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct ipaddr here = ip_of(cases[i].here);
		struct ipaddr asked = ip_of(cases[i].asked);
		struct crowd crowd;
		uint32_t no;

		assert_int_equal(crowd_init(&crowd, LIMIT, 24, 64), 0);
		no = crowd_enter(&crowd, &here);
		assert_int_equal(crowd_count(&crowd, &asked),
				 cases[i].together);
		crowd_leave(&crowd, no);
		assert_int_equal(crowd_count(&crowd, &asked), 0);
		crowd_free(&crowd);
	}
}

/* Beside a plain array of counts. */
static void test_any_order_of_coming_and_going(void **state)
{
	struct {
		struct ipaddr ip;
		uint32_t no;
		unsigned from;
	} here[LIMIT];
	unsigned counts[50] = { 0 };
	unsigned count = 0;
	unsigned dice = 1;
	struct crowd crowd;

	(void)state;
	assert_int_equal(crowd_init(&crowd, LIMIT, 32, 128), 0);
	for (int turn = 0; turn < 100000; turn++) {
		unsigned from;

		dice = dice * 1103515245 + 12345;
		from = (dice >> 16) % COUNT_OF(counts);
		if (count < LIMIT && (dice >> 8 & 3) != 0) {
			here[count].ip = (struct ipaddr){
				.v6 = from & 1,
				.bytes = { 10, 0, 0, (unsigned char)from },
			};
			here[count].from = from;
			here[count].no = crowd_enter(&crowd, &here[count].ip);
			count++;
			counts[from]++;
		} else if (count) {
			unsigned who = (dice >> 4) % count;

			crowd_leave(&crowd, here[who].no);
			counts[here[who].from]--;
			here[who] = here[--count];
		}
		if (count)
			assert_int_equal(crowd_count(&crowd, &here[0].ip),
					 counts[here[0].from]);
	}
	while (count)
		crowd_leave(&crowd, here[--count].no);
	for (unsigned i = 0; i <= LIMIT; i++)
		assert_int_equal(crowd.groups[i].count, 0);
	crowd_free(&crowd);
}

static void test_all_zero_counts_nothing(void **state)
{
	struct crowd crowd = { 0 };
	struct ipaddr ip = ip_of("192.0.2.1");

	(void)state;
	assert_int_equal(crowd_enter(&crowd, &ip), 0);
	assert_int_equal(crowd_count(&crowd, &ip), 0);
	crowd_leave(&crowd, 0);
	crowd_free(&crowd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_network_is_counted_as_one),
		cmocka_unit_test(test_any_order_of_coming_and_going),
		cmocka_unit_test(test_all_zero_counts_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
