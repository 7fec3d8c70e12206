#include "lib/password.h"

#include "tests/unit/unit.h"

static void test_a_new_hash_is_sha512_and_salted(void **state)
{
	struct str one = { 0 };
	struct str two = { 0 };

	(void)state;
	assert_int_equal(password_hash(&one, VIEW("secret")), 0);
	assert_int_equal(password_hash(&two, VIEW("secret")), 0);
	assert_true(view_starts(str_view(&one), VIEW("$6$")));
	assert_false(view_eq(str_view(&one), str_view(&two)));
	/* As long as the dummy's salt, or time would tell them apart. */
	assert_int_equal(view_find_last(str_view(&one), '$'), 3 + 12);
	assert_int_equal(password_check(str_view(&one), VIEW("secret")),
			 PASSWORD_RIGHT);
	assert_int_equal(password_check(str_view(&one), VIEW("Secret")),
			 PASSWORD_WRONG);
	assert_int_equal(password_check(str_view(&one), VIEW("")),
			 PASSWORD_WRONG);
	str_free(&one);
	str_free(&two);
}

/* Hashes of `secret` as sites have stored them over the years. */
static void test_old_kinds_of_hash_are_understood(void **state)
{
	static const char *const hashes[] = {
		"abNANd1rDfiNc",
		"$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1",
		"$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a",
		"$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv"
		"72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.",
		"$y$j75$abcdefgh$uMUXG79B2cFpoAYyDccUnsaH/"
		"aGTyBYMlnQidzyag01",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(hashes); i++) {
		assert_int_equal(
			password_check(view_of(hashes[i]), VIEW("secret")),
			PASSWORD_RIGHT);
		assert_int_equal(
			password_check(view_of(hashes[i]), VIEW("secreT")),
			PASSWORD_WRONG);
	}
}

static void test_no_hash_lets_nobody_in(void **state)
{
	const struct view hashes[] = {
		VIEW(""),          VIEW("*"),
		VIEW("!"),         VIEW("!$6$x$y"),
		VIEW("x"),         VIEW("*0"),
		VIEW("$99$no$no"), VIEW("$6$\0"),
		VIEW("plain"),     VIEW("$6$nobodyhasit.$"),
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(hashes); i++) {
		assert_int_equal(password_check(hashes[i], VIEW("plain")),
				 PASSWORD_WRONG);
		assert_int_equal(password_check(hashes[i], VIEW("")),
				 PASSWORD_WRONG);
		assert_int_equal(password_check(hashes[i], hashes[i]),
				 PASSWORD_WRONG);
	}
}

static void test_passwords_with_nul_or_too_long_are_wrong(void **state)
{
	struct str hash = { 0 };
	char text[600];

	(void)state;
	memset(text, 'a', sizeof(text));
	assert_int_equal(password_hash(&hash, VIEW("a")), 0);
	assert_int_equal(password_check(str_view(&hash), VIEW("a\0b")),
			 PASSWORD_WRONG);
	assert_int_equal(
		password_check(str_view(&hash), view_make(text, sizeof(text))),
		PASSWORD_WRONG);
	assert_int_equal(password_hash(&hash, view_make(text, sizeof(text))),
			 -1);
	str_free(&hash);
}

/* RFC 1939 section 7, RFC 2195 section 2. */
static void test_challenges_of_the_rfcs_are_answered(void **state)
{
	struct view stamp = VIEW("<1896.697170952@dbc.mtview.ca.us>");
	struct view digest = VIEW("c4c9334bac560ecc979e58001b3e22fb");
	struct view cram = VIEW("<1896.697170952@postoffice.reston.mci.net>");
	struct view reply = VIEW("b913a602c7eda7a495b4e6e7334d3890");

	(void)state;
	assert_true(password_apop(VIEW("tanstaaf"), stamp, digest));
	assert_false(password_apop(VIEW("tanstaag"), stamp, digest));
	assert_false(password_apop(VIEW(""), stamp, digest));
	assert_false(
		password_apop(VIEW("tanstaaf"), stamp, view_first(digest, 31)));
	assert_true(password_apop(VIEW("tanstaaf"), stamp,
				  VIEW("C4C9334BAC560ECC979E58001B3E22FB")));
	assert_true(password_cram(VIEW("tanstaaftanstaaf"), cram, reply));
	assert_false(password_cram(VIEW("tanstaaftanstaag"), cram, reply));
	assert_false(password_cram(VIEW("x"), VIEW(""), reply));
}

static void test_random_passwords_differ_and_need_no_quoting(void **state)
{
	struct str one = { 0 };
	struct str two = { 0 };

	(void)state;
	assert_int_equal(password_random(&one, 40), 0);
	assert_int_equal(password_random(&two, 40), 0);
	assert_int_equal(one.len, 40);
	assert_false(view_eq(str_view(&one), str_view(&two)));
	for (size_t i = 0; i < one.len; i++)
		assert_false(view_has(VIEW(" '\"\\$:`*?"), one.p[i]));
	str_free(&one);
	str_free(&two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_new_hash_is_sha512_and_salted),
		cmocka_unit_test(test_old_kinds_of_hash_are_understood),
		cmocka_unit_test(test_no_hash_lets_nobody_in),
		cmocka_unit_test(test_passwords_with_nul_or_too_long_are_wrong),
		cmocka_unit_test(test_challenges_of_the_rfcs_are_answered),
		cmocka_unit_test(
			test_random_passwords_differ_and_need_no_quoting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
