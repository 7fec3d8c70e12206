#include "lib/checksum.h"

/* cmocka.h wants these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* The definition, bit by bit. */
static uint32_t slow(uint32_t crc, struct view bytes)
{
	crc = ~crc;
	for (size_t i = 0; i < bytes.len; i++) {
		crc ^= (unsigned char)bytes.p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78U : 0);
	}
	return ~crc;
}

static void fill(char *bytes, size_t size)
{
	uint32_t x = 12345;

	for (size_t i = 0; i < size; i++) {
		x = x * 1664525 + 1013904223;
		bytes[i] = (char)(x >> 24);
	}
}

static void test_rfc_3720_examples(void **state)
{
	char zeroes[32] = { 0 };
	char ones[32];
	char up[32];
	char down[32];

	(void)state;
	memset(ones, 0xff, sizeof(ones));
	for (int i = 0; i < 32; i++) {
		up[i] = (char)i;
		down[i] = (char)(31 - i);
	}
	assert_int_equal(crc32c(CRC32C_START, view_make(zeroes, 32)),
			 0x8a9136aaU);
	assert_int_equal(crc32c(CRC32C_START, view_make(ones, 32)),
			 0x62a8ab43U);
	assert_int_equal(crc32c(CRC32C_START, view_make(up, 32)), 0x46dd794eU);
	assert_int_equal(crc32c(CRC32C_START, view_make(down, 32)),
			 0x113fdb5cU);
	assert_int_equal(crc32c(CRC32C_START, VIEW("123456789")), 0xe3069283U);
	assert_int_equal(crc32c(CRC32C_START, VIEW("")), 0);
}

static void test_all_ways_agree_at_every_length_and_alignment(void **state)
{
	char bytes[300];

	(void)state;
	fill(bytes, sizeof(bytes));
	for (size_t at = 0; at < 9; at++) {
		for (size_t len = 0; at + len <= sizeof(bytes); len++) {
			struct view v = view_make(bytes + at, len);
			uint32_t start = (uint32_t)(at * 0x9e3779b9U);
			uint32_t want = slow(start, v);
			uint32_t got = start;

			assert_int_equal(crc32c_portable(start, v), want);
			assert_int_equal(crc32c(start, v), want);
			if (crc32c_hardware(&got, v))
				assert_int_equal(got, want);
		}
	}
}

static void test_pieces_give_the_same_as_the_whole(void **state)
{
	char bytes[64];
	struct view all = view_make(bytes, sizeof(bytes));

	(void)state;
	fill(bytes, sizeof(bytes));
	for (size_t cut = 0; cut <= sizeof(bytes); cut++) {
		uint32_t crc = crc32c(CRC32C_START, view_first(all, cut));

		crc = crc32c(crc, view_from(all, cut));
		assert_int_equal(crc, crc32c(CRC32C_START, all));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc_3720_examples),
		cmocka_unit_test(
			test_all_ways_agree_at_every_length_and_alignment),
		cmocka_unit_test(test_pieces_give_the_same_as_the_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
