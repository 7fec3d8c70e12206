#include "lib/record.h"

#include "tests/unit/unit.h"

static void test_what_is_appended_comes_back_in_order(void **state)
{
	struct str all = { 0 };
	struct record r;
	struct view rest;
	uint64_t number;

	(void)state;
	record_append(&all, 1, VIEW("a\0b"));
	record_append(&all, UINT64_MAX, VIEW(""));
	record_append_u64(&all, 2, UINT64_MAX - 1);
	assert_int_equal(all.len, 3 * RECORD_HEAD_BYTES + 3 + 8);
	rest = str_view(&all);

	assert_int_equal(record_next(&rest, &r), RECORD_OK);
	assert_int_equal(r.type, 1);
	assert_true(view_eq(r.value, VIEW("a\0b")));
	assert_false(record_u64(&r, &number));
	assert_int_equal(record_next(&rest, &r), RECORD_OK);
	assert_true(r.type == UINT64_MAX);
	assert_int_equal(r.value.len, 0);
	assert_int_equal(record_next(&rest, &r), RECORD_OK);
	assert_true(record_u64(&r, &number));
	assert_true(number == UINT64_MAX - 1);
	assert_int_equal(record_next(&rest, &r), RECORD_END);
	assert_int_equal(record_next(&rest, &r), RECORD_END);
	str_free(&all);
}

static void test_numbers_are_little_endian(void **state)
{
	char bytes[8];

	(void)state;
	le64_write(bytes, 0x0102030405060708);
	assert_memory_equal(bytes, "\x08\x07\x06\x05\x04\x03\x02\x01", 8);
	assert_true(le64_read(bytes) == 0x0102030405060708);
	assert_true(le64_read("\xff\xff\xff\xff\xff\xff\xff\xff") ==
		    UINT64_MAX);
}

static void test_every_proper_prefix_of_one_record_is_bad(void **state)
{
	struct str all = { 0 };

	(void)state;
	record_append(&all, 5, VIEW("value"));
	for (size_t len = 1; len < all.len; len++) {
		struct view rest = view_first(str_view(&all), len);
		struct record r;

		assert_int_equal(record_next(&rest, &r), RECORD_BAD);
	}
	str_free(&all);
}

static void test_lengths_past_the_end_are_bad(void **state)
{
	static const uint64_t lengths[] = {
		6,
		UINT32_MAX,
		(uint64_t)1 << 32,
		INT64_MAX,
		UINT64_MAX,
		UINT64_MAX - 15,
		UINT64_MAX - RECORD_HEAD_BYTES + 1,
	};
	char bytes[RECORD_HEAD_BYTES + 5] = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(lengths); i++) {
		struct view rest = view_make(bytes, sizeof(bytes));
		struct record r;

		le64_write(bytes + 8, lengths[i]);
		assert_int_equal(record_next(&rest, &r), RECORD_BAD);
		assert_int_equal(rest.len, sizeof(bytes));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_appended_comes_back_in_order),
		cmocka_unit_test(test_numbers_are_little_endian),
		cmocka_unit_test(test_every_proper_prefix_of_one_record_is_bad),
		cmocka_unit_test(test_lengths_past_the_end_are_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
