#include "lib/tai.h"

#include "lib/clock.h"
#include "tests/unit/unit.h"

static void test_labels_are_those_of_the_old_programs(void **state)
{
	static const struct {
		int64_t unix_s;
		uint32_t nanos;
		const char *label;
	} cases[] = {
		{ 0, 0, "@400000000000000a00000000" },
		{ -11, 1, "@3fffffffffffffff00000001" },
		{ 1795338523, 500000000, "@400000006b02b1251dcd6500" },
		{ (int64_t)1 << 32, 999999999, "@400000010000000a3b9ac9ff" },
	};
	struct str got = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct tai tai = tai_from_unix(cases[i].unix_s, cases[i].nanos);
		struct tai back = { 0 };

		str_reset(&got);
		tai_format(&got, tai);
		assert_str(&got, cases[i].label);
		assert_true(tai_parse(str_view(&got), &back));
		assert_true(back.seconds == tai.seconds);
		assert_int_equal(back.nanos, tai.nanos);
		assert_true(tai_to_unix(back) == cases[i].unix_s);
	}
	str_free(&got);
}

static void test_what_is_no_label_is_refused(void **state)
{
	static const char *const cases[] = {
		"",
		"@",
		"@400000000000000a0000000",
		"400000000000000a00000000x",
		" @400000000000000a00000000",
		"@400000000000000A00000000",
		"@400000000000000g00000000",
		"@400000000000000a0000000 ",
		"@400000000000000a3b9aca00",
		"@800000000000000000000000",
		"@ffffffffffffffff00000000",
	};
	struct tai tai = { 7, 7 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_false(tai_parse(view_of(cases[i]), &tai));
	assert_false(tai_parse(view_make(NULL, 0), &tai));
	assert_true(tai.seconds == 7 && tai.nanos == 7);
	assert_true(tai_parse(VIEW("@400000000000000a00000000 text"), &tai));
	assert_true(tai_parse(VIEW("@400000000000000a00000000f"), &tai));
}

static void test_the_packed_form_is_big_endian(void **state)
{
	struct tai tai = { 0x0102030405060708, 0x090a0b0c };
	char packed[TAI_PACK_BYTES];
	struct tai back;

	(void)state;
	tai_pack(packed, tai);
	assert_memory_equal(packed, "\1\2\3\4\5\6\7\x08\x09\x0a\x0b\x0c", 12);
	back = tai_unpack(packed);
	assert_true(back.seconds == tai.seconds && back.nanos == tai.nanos);
	tai = (struct tai){ UINT64_MAX, UINT32_MAX };
	tai_pack(packed, tai);
	back = tai_unpack(packed);
	assert_true(back.seconds == tai.seconds && back.nanos == tai.nanos);
	assert_true(tai_to_unix(tai_from_unix(INT64_MIN, 0)) == INT64_MIN);
}

static void test_now_is_the_wall_clock(void **state)
{
	int64_t before = clock_wall_us();
	struct tai now = tai_now();
	int64_t after = clock_wall_us();
	int64_t us = tai_to_unix(now) * 1000000 + now.nanos / 1000;

	(void)state;
	assert_true(before <= us && us <= after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_labels_are_those_of_the_old_programs),
		cmocka_unit_test(test_what_is_no_label_is_refused),
		cmocka_unit_test(test_the_packed_form_is_big_endian),
		cmocka_unit_test(test_now_is_the_wall_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
