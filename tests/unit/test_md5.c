#include "lib/md5.h"

#include "tests/unit/unit.h"

static void sum_of(struct view text, size_t piece, char hex[MD5_HEX + 1])
{
	unsigned char sum[MD5_BYTES];
	struct md5 md5;

	md5_init(&md5);
	while (text.len) {
		md5_add(&md5, view_first(text, piece));
		text = view_from(text, piece);
	}
	md5_end(&md5, sum);
	md5_hex(sum, hex);
}

/* RFC 1321 appendix A.5. */
static void test_sums_are_those_of_the_rfc(void **state)
{
	static const struct {
		const char *text;
		const char *sum;
	} cases[] = {
		{ "", "d41d8cd98f00b204e9800998ecf8427e" },
		{ "a", "0cc175b9c0f1b6a831c399e269772661" },
		{ "abc", "900150983cd24fb0d6963f7d28e17f72" },
		{ "message digest", "f96b697d7cb7938d525a2f31aaf161d0" },
		{ "abcdefghijklmnopqrstuvwxyz",
		  "c3fcd3d76192e4007dfb496cca67e13b" },
		{ "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		  "0123456789",
		  "d174ab98d277d9f5a5611c2c9f419d9f" },
		{ "1234567890123456789012345678901234567890"
		  "1234567890123456789012345678901234567890",
		  "57edf4a22be3c955ac49da2e2107b67a" },
	};
	char hex[MD5_HEX + 1];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		for (size_t piece = 1; piece < 100; piece++) {
			sum_of(view_of(cases[i].text), piece, hex);
			assert_string_equal(hex, cases[i].sum);
		}
}

/* A million times `a`: a length that needs more than one byte of count. */
static void test_long_texts_count_their_bits(void **state)
{
	struct str text = { 0 };
	char hex[MD5_HEX + 1];

	(void)state;
	for (size_t i = 0; i < 1000000; i++)
		str_append_byte(&text, 'a');
	sum_of(str_view(&text), 4099, hex);
	assert_string_equal(hex, "7707d6ae4e027c70eea2a935c2296f21");
	str_free(&text);
}

/* RFC 2202 section 2. */
static void test_hmac_is_that_of_the_rfc(void **state)
{
	unsigned char sum[MD5_BYTES];
	char hex[MD5_HEX + 1];
	char key[80];

	(void)state;
	md5_hmac(VIEW("Jefe"), VIEW("what do ya want for nothing?"), sum);
	md5_hex(sum, hex);
	assert_string_equal(hex, "750c783e6ab0b503eaa86e310a5db738");
	memset(key, '\xaa', sizeof(key));
	md5_hmac(view_make(key, sizeof(key)),
		 VIEW("Test Using Larger Than Block-Size Key - Hash Key First"),
		 sum);
	md5_hex(sum, hex);
	assert_string_equal(hex, "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sums_are_those_of_the_rfc),
		cmocka_unit_test(test_long_texts_count_their_bits),
		cmocka_unit_test(test_hmac_is_that_of_the_rfc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
