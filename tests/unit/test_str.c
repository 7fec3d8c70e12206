#include "tests/unit/unit.h"

static void test_views_compare_bytes_and_ignore_case_of_ascii_only(void **state)
{
	(void)state;
	assert_true(view_eq(view_make(NULL, 0), VIEW("")));
	assert_true(view_eq(VIEW("a\0b"), VIEW("a\0b")));
	assert_false(view_eq(VIEW("a\0b"), VIEW("a\0c")));
	assert_false(view_eq(VIEW("a"), VIEW("A")));
	assert_true(view_eq_nocase(VIEW("aZ["), VIEW("Az[")));
	assert_false(view_eq_nocase(VIEW("["), VIEW("{")));
	assert_false(view_eq_nocase(VIEW("\xc4"), VIEW("\xe4")));
	assert_true(view_starts(VIEW("abc"), VIEW("")));
	assert_true(view_starts(VIEW("abc"), VIEW("abc")));
	assert_false(view_starts(VIEW("ab"), VIEW("abc")));
	assert_true(view_starts_nocase(VIEW("ABc"), VIEW("ab")));
	assert_true(view_ends(VIEW("abc"), VIEW("bc")));
	assert_false(view_ends(VIEW("c"), VIEW("bc")));
	assert_true(view_ends_nocase(VIEW("x.CDB"), VIEW(".cdb")));
}

static void test_find_reports_the_length_when_there_is_none(void **state)
{
	(void)state;
	assert_int_equal(view_find(VIEW("a@b@c"), '@'), 1);
	assert_int_equal(view_find_last(VIEW("a@b@c"), '@'), 3);
	assert_int_equal(view_find(VIEW("abc"), '@'), 3);
	assert_int_equal(view_find_last(VIEW("abc"), '@'), 3);
	assert_int_equal(view_find(view_make(NULL, 0), '@'), 0);
	assert_true(view_has(VIEW("a\0"), '\0'));
	assert_false(view_has(VIEW("a"), '\0'));
}

static void test_parts_past_the_end_are_cut_there(void **state)
{
	(void)state;
	assert_view(view_first(VIEW("abc"), 2), "ab");
	assert_view(view_first(VIEW("abc"), 9), "abc");
	assert_view(view_from(VIEW("abc"), 2), "c");
	assert_view(view_from(VIEW("abc"), 9), "");
	assert_view(view_from(view_make(NULL, 0), 1), "");
	assert_view(view_trim(VIEW(" \ta b\t ")), "a b");
	assert_view(view_trim(VIEW(" \t ")), "");
	assert_view(view_trim_end(VIEW(" a ")), " a");
	assert_view(view_trim(VIEW("\na\n")), "\na\n");
}

static void test_cut_visits_every_piece_and_an_empty_last_one(void **state)
{
	static const struct {
		const char *text;
		const char *want;
	} cases[] = {
		{ "a:b", "[a][b]" }, { "a:b:", "[a][b][]" }, { ":", "[][]" },
		{ "", "[]" },        { "a::b", "[a][][b]" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct view rest = view_of(cases[i].text);
		struct str got = { 0 };

		while (rest.p) {
			str_append_byte(&got, '[');
			str_append(&got, view_cut(&rest, ':'));
			str_append_byte(&got, ']');
		}
		assert_str(&got, cases[i].want);
		str_free(&got);
	}
}

static void test_numbers_are_digits_only_and_never_overflow(void **state)
{
	static const struct {
		struct view text;
		bool ok;
		uint64_t want;
	} cases[] = {
		{ { "0", 1 }, true, 0 },
		{ { "00042", 5 }, true, 42 },
		{ { "18446744073709551615", 20 }, true, UINT64_MAX },
		{ { "18446744073709551616", 20 }, false, 0 },
		{ { "99999999999999999999", 20 }, false, 0 },
		{ { "", 0 }, false, 0 },
		{ { NULL, 0 }, false, 0 },
		{ { "-1", 2 }, false, 0 },
		{ { "+1", 2 }, false, 0 },
		{ { " 1", 2 }, false, 0 },
		{ { "1 ", 2 }, false, 0 },
		{ { "1\0", 2 }, false, 0 },
		{ { "0x1", 3 }, false, 0 },
		{ { "1a", 2 }, false, 0 },
	};
	uint64_t n;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		n = 7;
		assert_int_equal(view_u64(cases[i].text, &n), cases[i].ok);
		assert_true(n == (cases[i].ok ? cases[i].want : 7));
	}
	assert_true(view_hex64(VIEW("fFfFfFfFfFfFfFfF"), &n));
	assert_true(n == UINT64_MAX);
	assert_false(view_hex64(VIEW("10000000000000000"), &n));
	assert_false(view_hex64(VIEW("g"), &n));
	assert_true(view_octal(VIEW("1777"), &n));
	assert_int_equal(n, 01777);
	assert_false(view_octal(VIEW("8"), &n));
}

static void test_a_str_grows_and_is_always_terminated(void **state)
{
	struct str s = { 0 };

	(void)state;
	assert_string_equal(str_c(&s), "");
	for (int i = 0; i < 1000; i++) {
		str_append_byte(&s, 'x');
		assert_int_equal(strlen(str_c(&s)), (size_t)i + 1);
	}
	str_set_c(&s, "ab");
	str_append(&s, VIEW("\0c"));
	str_append(&s, view_make(NULL, 0));
	str_append_c(&s, NULL);
	assert_int_equal(s.len, 4);
	assert_memory_equal(str_c(&s), "ab\0c", 5);
	str_truncate(&s, 1);
	str_append_u64(&s, 0);
	str_append_u64(&s, UINT64_MAX);
	assert_str(&s, "a018446744073709551615");
	str_reset(&s);
	str_append_hex64(&s, 0xdeadbeef);
	assert_str(&s, "00000000deadbeef");
	str_set_c(&s, "");
	str_appendf(&s, "%s-%d", "x", -5);
	str_appendf(&s, "%s", "");
	assert_str(&s, "x--5");
	str_free(&s);
	assert_null(s.p);
}

static void test_what_is_not_printable_is_a_question_mark(void **state)
{
	struct str s = { 0 };

	(void)state;
	str_append_printable(&s, VIEW(" a~\0\n\r\t\x1b\x7f\x80\xff"));
	assert_string_equal(str_c(&s), " a~????????");
	assert_int_equal(s.len, 11);
	str_free(&s);
}

static void test_remove_takes_out_the_middle_and_the_end(void **state)
{
	struct str s = { 0 };

	(void)state;
	str_remove(&s, 0, 0);
	str_set_c(&s, "abcdef");
	str_remove(&s, 1, 2);
	assert_str(&s, "adef");
	str_remove(&s, 2, 2);
	assert_str(&s, "ad");
	str_remove(&s, 0, 2);
	assert_str(&s, "");
	str_set_c(&s, "A[\xc4Z");
	str_lower(&s);
	assert_str(&s, "a[\xc4z");
	str_wipe(&s);
	assert_null(s.p);
}

static void reserve(void *arg)
{
	struct str s = { .len = 0 };

	str_append_c(&s, "some bytes");
	str_reserve(&s, *(size_t *)arg);
}

/* IM1 (CVE-2005-1513): a sum that wraps gives a small block for a large string. */
static void test_a_size_that_overflows_dies_temporarily(void **state)
{
	static const size_t sizes[] = {
		SIZE_MAX,      SIZE_MAX - 1, SIZE_MAX - 10,
		SIZE_MAX - 11, SIZE_MAX / 2, SIZE_MAX / 3 * 2,
	};
	struct str said = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		size_t size = sizes[i];

#ifdef VALIJA_SAN
		/* ASan itself ends a malloc of such sizes. */
		if (size < SIZE_MAX - 11)
			continue;
#endif
		assert_int_equal(in_child(reserve, &size, &said), 111);
		assert_str(&said, "valija: out of memory\n");
	}
	str_free(&said);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_views_compare_bytes_and_ignore_case_of_ascii_only),
		cmocka_unit_test(
			test_find_reports_the_length_when_there_is_none),
		cmocka_unit_test(test_parts_past_the_end_are_cut_there),
		cmocka_unit_test(
			test_cut_visits_every_piece_and_an_empty_last_one),
		cmocka_unit_test(
			test_numbers_are_digits_only_and_never_overflow),
		cmocka_unit_test(test_a_str_grows_and_is_always_terminated),
		cmocka_unit_test(test_what_is_not_printable_is_a_question_mark),
		cmocka_unit_test(test_remove_takes_out_the_middle_and_the_end),
		cmocka_unit_test(test_a_size_that_overflows_dies_temporarily),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
