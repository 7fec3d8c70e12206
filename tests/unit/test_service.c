#include "tests/unit/unit.h"
#include "tools/daemontools/service.h"

static void test_status_has_the_bytes_of_daemontools(void **state)
{
	/* Written by daemontools 0.76 for pid 5008, up, paused by hand. */
	static const char want[SERVICE_STATUS_BYTES] =
		"\x40\x00\x00\x00\x6b\x02\xb4\x43\x29\xc3\xe3\x0c"
		"\x90\x13\x00\x00\x01u";
	struct service_status status = {
		.since = { 0x400000006b02b443, 0x29c3e30c },
		.pid = 5008,
		.paused = true,
		.want = SERVICE_WANT_UP,
	};
	char bytes[SERVICE_STATUS_BYTES];

	(void)state;
	service_pack(bytes, &status);
	assert_memory_equal(bytes, want, sizeof(bytes));
}

static void test_unpack_undoes_pack(void **state)
{
	const struct service_status in = {
		.since = { 0x4000000037c219bf, 999999999 },
		.pid = 0xfedcba98,
		.want = SERVICE_WANT_DOWN,
	};
	char bytes[SERVICE_STATUS_BYTES];
	struct service_status out;

	(void)state;
	service_pack(bytes, &in);
	out = service_unpack(bytes);
	assert_true(out.since.seconds == in.since.seconds);
	assert_int_equal(out.since.nanos, in.since.nanos);
	assert_true(out.pid == in.pid);
	assert_false(out.paused);
	assert_int_equal(out.want, SERVICE_WANT_DOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status_has_the_bytes_of_daemontools),
		cmocka_unit_test(test_unpack_undoes_pack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
