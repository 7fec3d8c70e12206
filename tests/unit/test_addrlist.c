#include "tests/unit/unit.h"

#include "lib/addrlist.h"

/*
 * The addresses of a list, each with its flags: `~` a comma is missing, `*`
 * no domain, `&` routed; a blank behind each. `;` at the end: a group was cut
 * off. `!`: it cannot be parsed.
 */
static void show(struct view text, struct str *to)
{
	struct addrlist list = { .text = text };
	struct addrlist_item item = { 0 };
	enum addrlist_result result;

	while ((result = addrlist_next(&list, &item)) == ADDRLIST_ADDRESS) {
		if (item.comma_at != ADDRLIST_NOWHERE)
			str_append_byte(to, '~');
		if (!item.has_domain)
			str_append_byte(to, '*');
		if (item.routed)
			str_append_byte(to, '&');
		str_append(to, str_view(&item.address));
		str_append_byte(to, ' ');
	}
	if (result == ADDRLIST_BAD)
		str_append_byte(to, '!');
	else if (addrlist_cut_off(&list))
		str_append_byte(to, ';');
	addrlist_item_free(&item);
}

static void test_lists(void **state)
{
	static const struct {
		const char *label;
		const char *text;
		const char *want;
	} cases[] = {
		{ "nothing", "", "" },
		{ "blanks and comments", " \r\n (x (y) \\) z)\t", "" },
		{ "empty elements", ",, a@b ,,", "a@b " },
		{ "plain", "a@b, c@d (Somebody), A Person <e@f>",
		  "a@b c@d e@f " },
		{ "group", "x: g@h, i@j;, k@l", "g@h i@j k@l " },
		{ "empty group", "recipient list not shown: ;", "" },
		{ "group without comma behind", "x: a@b; c@d", "a@b ~c@d " },
		{ "group cut off", "x: a@b", "a@b ;" },
		{ "groups do not nest", "x: y: a@b;;", "!" },
		{ "semicolon without group", "a@b; c@d", "a@b !" },
		{ "no domain", "djb", "*djb " },
		{ "illegal spaces", "djb fred joe@h", "*djb ~*fred ~joe@h " },
		{ "comment between", "djb (x) fred", "*djb ~*fred " },
		{ "name", "Joe Q. Public <a@b>", "a@b " },
		{ "quoted name", "\"a, b@c <d>\" <a@b>", "a@b " },
		{ "name then missing comma", "A <a@b> B <c@d>", "a@b ~c@d " },
		{ "address as name", "a@b <c@d>", "c@d " },
		{ "address as name behind words", "x a@b <c@d>", "c@d " },
		{ "address then name", "x@y z <c@d>", "x@y ~c@d " },
		{ "quoted local part", "\"a b\\\"c\"@d", "a b\"c@d " },
		{ "quoted with @ and dot", "\"a@b\".c@d", "a@b.c@d " },
		{ "blanks around dots", "a . b @ c . d", "a.b@c.d " },
		{ "comments inside", "a(1)@(2)b(3).(4)c", "a@b.c " },
		{ "folds", "a\r\n @b,\n\tc@d", "a@b c@d " },
		{ "backslash pair", "a\\,b@c", "a,b@c " },
		{ "literal", "a@[127.0.0.1], <b@[IPv6:::1]>",
		  "a@[127.0.0.1] b@[IPv6:::1] " },
		{ "route", "<@r,@s.t:a@b>, <@r:c>", "&a@b *&c " },
		{ "null", "<>", "* " },
		{ "null with blanks", "x < (y) >", "* " },
		{ "utf-8", "Jos\xc3\xa9 <jos\xc3\xa9@b\xc3\xbc.x>",
		  "jos\xc3\xa9@b\xc3\xbc.x " },
		{ "misplaced dots", ".a..b.@c", ".a..b.@c " },
		{ "dot at the end of a name", "J. R. <a@b>", "a@b " },
		{ "two @", "a@b@c", "a@b !" },
		{ "two @ in angles", "<a@b@c>", "!" },
		{ "no local part", "@b", "!" },
		{ "no domain behind @", "a@, b@c", "!" },
		{ "no domain in angles", "<a@>", "!" },
		{ "space in angles", "<a b@c>", "!" },
		{ "unclosed angle", "<a@b", "!" },
		{ "unopened angle", "a@b>", "a@b !" },
		{ "unclosed quote", "\"a@b", "!" },
		{ "unclosed comment", "a@b (x", "a@b !" },
		{ "comment that ends in a backslash", "a (\\", "*a !" },
		{ "unopened comment", "a) b", "*a !" },
		{ "unclosed literal", "a@[1", "!" },
		{ "literal as local part", "[a]@b", "!" },
		{ "quoted domain", "a@\"b\"", "!" },
		{ "backslash in a domain", "a@b\\,c", "!" },
		{ "blank in a literal", "a@[1 2]", "!" },
		{ "@ in a literal", "a@[1@2]", "!" },
		{ "bracket in a literal", "a@[1[2]", "!" },
		{ "backslash at the end", "a\\", "!" },
		{ "backslash before a line end", "a\\\n b", "!" },
		{ "route without end", "<@a,b@c>", "!" },
		{ "control byte", "a\x01@b", "!" },
		{ "DEL", "a\x7f@b", "!" },
		{ "control byte in quotes", "\"a\x01\"@b", "!" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct str got = { 0 };

		show(view_of(cases[i].text), &got);
		if (!view_eq(str_view(&got), view_of(cases[i].want)))
			fail_msg("%s: %s, not %s", cases[i].label, str_c(&got),
				 cases[i].want);
		str_free(&got);
	}
}

static void test_nul_is_no_address_byte(void **state)
{
	struct str got = { 0 };

	(void)state;
	show(VIEW("a\0b@c"), &got);
	assert_str(&got, "!");
	str_free(&got);
}

static void test_places_are_those_of_the_address_alone(void **state)
{
	static const char text[] = "A (x) B <@r:a @ b (y)>";
	struct addrlist list = { .text = VIEW("A (x) B <@r:a @ b (y)>") };
	struct addrlist_item item = { 0 };

	(void)state;
	assert_int_equal(addrlist_next(&list, &item), ADDRLIST_ADDRESS);
	assert_true(item.in_angle);
	assert_view(view_make(text + item.start, item.end - item.start),
		    "@r:a @ b");
	addrlist_item_free(&item);
}

static void test_a_comma_is_missing_behind_the_last_comment(void **state)
{
	struct addrlist list = { .text = VIEW("a (x)  b") };
	struct addrlist_item item = { 0 };

	(void)state;
	assert_int_equal(addrlist_next(&list, &item), ADDRLIST_ADDRESS);
	assert_int_equal(item.comma_at, ADDRLIST_NOWHERE);
	assert_int_equal(addrlist_next(&list, &item), ADDRLIST_ADDRESS);
	assert_int_equal(item.comma_at, 5);
	addrlist_item_free(&item);
}

/* Quadratic time would take minutes here. */
static void test_long_lists_take_linear_time(void **state)
{
	static const char *const pieces[] = { "a ",   "a,",   "a.",
					      "(",    "a@b ", "(x)a ",
					      "\\\"", "@a,",  "<a>" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(pieces); i++) {
		struct addrlist list = { 0 };
		struct addrlist_item item = { 0 };
		struct str text = { 0 };

		if (pieces[i][0] == '@')
			str_append_byte(&text, '<');
		for (int n = 0; n < 500000; n++)
			str_append_c(&text, pieces[i]);
		list.text = str_view(&text);
		while (addrlist_next(&list, &item) == ADDRLIST_ADDRESS)
			continue;
		addrlist_item_free(&item);
		str_free(&text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_nul_is_no_address_byte),
		cmocka_unit_test(test_places_are_those_of_the_address_alone),
		cmocka_unit_test(
			test_a_comma_is_missing_behind_the_last_comment),
		cmocka_unit_test(test_long_lists_take_linear_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
