#include "lib/header.h"

#include "tests/unit/unit.h"

/* Every field as `name=value unfolded|`, then `>` and where it stopped. */
static void walk(struct view message, struct str *got)
{
	struct header_field field;

	str_reset(got);
	while (header_next(&message, &field)) {
		str_append(got, field.name);
		str_append_byte(got, '=');
		header_unfold(got, field.value);
		str_append_byte(got, '|');
	}
	str_append_byte(got, '>');
	str_append(got, message);
}

static void test_fields_end_where_the_header_ends(void **state)
{
	static const struct {
		const char *message;
		const char *want;
		const char *body;
	} cases[] = {
		{ "A: b\nC: d\n\nbody\n", "A=b|C=d|>\nbody\n", "body\n" },
		{ "A: b\r\nC:d\r\n\r\nbody", "A=b|C=d|>\r\nbody", "body" },
		{ "A: b\n  c\n\td\nE:\n\n", "A=b  c\td|E=|>\n", "" },
		{ "A:\n b\n\n", "A=b|>\n", "" },
		{ "A: \t b \t\r\n \r\n\r\n", "A=b|>\r\n", "" },
		{ "A: b", "A=b|>", "" },
		{ "A: b\n", "A=b|>", "" },
		{ "A: b\n c", "A=b c|>", "" },
		{ "A : b\n\n", "A=b|>\n", "" },
		{ "A \t: b\n\n", "A=b|>\n", "" },
		{ "A: b:c\n\n", "A=b:c|>\n", "" },
		{ "", ">", "" },
		{ "\n", ">\n", "" },
		{ "\nA: b\n", ">\nA: b\n", "A: b\n" },
		{ "\r\n", ">\r\n", "" },
		{ "\rA: b\n", ">\rA: b\n", "\rA: b\n" },
		{ " A: b\n", "> A: b\n", " A: b\n" },
		{ ": b\n", ">: b\n", ": b\n" },
		{ "A: b\nno field\nC: d\n", "A=b|>no field\nC: d\n",
		  "no field\nC: d\n" },
		{ "From x Sat Jan  3 01:05:34 1996\nA: b\n",
		  ">From x Sat Jan  3 01:05:34 1996\nA: b\n",
		  "From x Sat Jan  3 01:05:34 1996\nA: b\n" },
		{ "A b: c\n", ">A b: c\n", "A b: c\n" },
		{ "\xc3\xa9: c\n", ">\xc3\xa9: c\n", "\xc3\xa9: c\n" },
		{ "A: \xc3\xa9\n\n", "A=\xc3\xa9|>\n", "" },
		{ "A: b\rc\n\n", "A=b\rc|>\n", "" },
		{ "A: b\r\r\n\n", "A=b\r|>\n", "" },
	};
	struct str got = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct view message = view_of(cases[i].message);

		walk(message, &got);
		assert_str(&got, cases[i].want);
		assert_view(header_body(message), cases[i].body);
	}
	str_free(&got);
}

static void test_the_pieces_of_a_field_are_views_of_the_message(void **state)
{
	struct view rest = VIEW("Subject : a\r\n b\r\n\r\n");
	struct header_field field;

	(void)state;
	assert_true(header_next(&rest, &field));
	assert_view(field.whole, "Subject : a\r\n b\r\n");
	assert_view(field.name, "Subject");
	assert_view(field.value, " a\r\n b\r\n");
	assert_true(header_is(&field, VIEW("SUBJECT")));
	assert_false(header_is(&field, VIEW("subject ")));
	assert_false(header_is(&field, VIEW("sub")));
	assert_false(header_next(&rest, &field));
	assert_view(rest, "\r\n");
}

static void test_unfolding_appends_and_keeps_what_was_there(void **state)
{
	struct str got = { 0 };

	(void)state;
	str_set_c(&got, "before  ");
	header_unfold(&got, VIEW(" \r\n \r\n\t\r\n"));
	assert_str(&got, "before  ");
	header_unfold(&got, VIEW("\n"));
	header_unfold(&got, VIEW(""));
	assert_str(&got, "before  ");
	header_unfold(&got, VIEW(" a\n  b \n"));
	assert_str(&got, "before  a  b");
	str_free(&got);
}

static void test_nuls_are_bytes_of_a_value(void **state)
{
	struct view rest = VIEW("A: b\0c\n\n");
	struct header_field field;

	(void)state;
	assert_true(header_next(&rest, &field));
	assert_int_equal(field.value.len, 5);
	rest = VIEW("A\0: b\n\n");
	assert_false(header_next(&rest, &field));
}

/* Work must grow with the bytes, not with their square. */
static void test_large_headers_cost_time_only(void **state)
{
	static const char *const pieces[] = { "A: b\n", " \n", "x", "\n x" };
	struct str big = { 0 };
	struct str value = { 0 };
	struct header_field field;
	struct view rest;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(pieces); i++) {
		str_set_c(&big, "First: 1\n");
		while (big.len < 8 << 20)
			str_append_c(&big, pieces[i]);
		rest = str_view(&big);
		while (header_next(&rest, &field)) {
			str_reset(&value);
			header_unfold(&value, field.value);
		}
		(void)header_body(str_view(&big));
	}
	str_free(&big);
	str_free(&value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields_end_where_the_header_ends),
		cmocka_unit_test(
			test_the_pieces_of_a_field_are_views_of_the_message),
		cmocka_unit_test(
			test_unfolding_appends_and_keeps_what_was_there),
		cmocka_unit_test(test_nuls_are_bytes_of_a_value),
		cmocka_unit_test(test_large_headers_cost_time_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
