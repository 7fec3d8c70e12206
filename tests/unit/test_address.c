#include "lib/address.h"

#include "tests/unit/unit.h"

static const char *const result_names[] = {
	[ADDRESS_OK] = "ok",
	[ADDRESS_BAD] = "bad",
	[ADDRESS_TOO_LONG] = "long",
};

/* `result[address]rest` */
static void parse(struct view text, bool lenient, struct str *got)
{
	struct str address = { 0 };
	struct view rest;
	enum address_result result;

	result = address_parse_path(text, lenient, &address, &rest);
	str_set_c(got, result_names[result]);
	str_append_byte(got, '[');
	str_append(got, str_view(&address));
	str_append_byte(got, ']');
	str_append(got, rest);
	str_free(&address);
}

static void test_paths_in_brackets(void **state)
{
	static const struct {
		const char *text;
		const char *want;
	} cases[] = {
		{ "<a@example.org>", "ok[a@example.org]" },
		{ " \t<a@b> SIZE=3", "ok[a@b] SIZE=3" },
		{ "<a@b>SIZE=3", "ok[a@b]SIZE=3" },
		{ "<>", "ok[]" },
		{ "<> BODY=8BITMIME", "ok[] BODY=8BITMIME" },
		{ "<Postmaster>", "ok[Postmaster]" },
		{ "<Aa.Bb@Example.ORG>", "ok[Aa.Bb@Example.ORG]" },
		/* quoting */
		{ "<\"a b\"@c>", "ok[a b@c]" },
		{ "<\"a\\\"b\\\\\"@c>", "ok[a\"b\\@c]" },
		{ "<a\\@b@c>", "ok[a@b@c]" },
		{ "<a\\ b@c>", "ok[a b@c]" },
		{ "<\"a@b\"@c>", "ok[a@b@c]" },
		{ "<\"a>b\"@c>", "ok[a>b@c]" },
		{ "<\"<>\"@c> X", "ok[<>@c] X" },
		{ "<a\\>b@c>", "ok[a>b@c]" },
		{ "<\"\"@c>", "ok[@c]" },
		{ "<\"a\".\"b\"@c>", "ok[a.b@c]" },
		{ "<user@dom@dom>", "ok[user@dom@dom]" },
		/* not nice, but in use */
		{ "<a..b.@c>", "ok[a..b.@c]" },
		{ "<!#$%&'*+-/=?^_`{|}~@c>", "ok[!#$%&'*+-/=?^_`{|}~@c]" },
		{ "<;id>", "ok[;id]" },
		{ "<() { :;}; touch /tmp/p>", "bad[]" },
		{ "<\"() { :;}; touch /tmp/p\">",
		  "ok[() { :;}; touch /tmp/p]" },
		{ "<\xc3\xa9@b\xc3\xa9.example>",
		  "ok[\xc3\xa9@b\xc3\xa9.example]" },
		{ "<\xff@b>", "ok[\xff@b]" },
		/* routes */
		{ "<@x:a@b>", "ok[a@b]" },
		{ "<@x,@y:a@b>", "ok[a@b]" },
		{ "<@[IPv6:::1]:a@b>", "ok[a@b]" },
		{ "<@x:a@[IPv6:::1]>", "ok[a@[IPv6:::1]]" },
		{ "<@x:postmaster>", "ok[postmaster]" },
		{ "<@x:>", "bad[]" },
		{ "<@x:@y:a@b>", "bad[]" },
		{ "<@x>", "bad[]" },
		{ "<@>", "bad[]" },
		{ "<@x> FOO:<a@b>", "bad[]" },
		{ "<@x y:a@b>", "bad[]" },
		/* literals */
		{ "<a@[192.0.2.1]>", "ok[a@[192.0.2.1]]" },
		{ "<a@[IPv6:2001:db8::1]>", "ok[a@[IPv6:2001:db8::1]]" },
		{ "<a@[]>", "bad[]" },
		{ "<a@[192.0.2.1>", "bad[]" },
		{ "<a@192.0.2.1]>", "bad[]" },
		{ "<a@[192.0.2.1]x>", "bad[]" },
		{ "<a@b:25>", "bad[]" },
		/* damage */
		{ "", "bad[]" },
		{ " ", "bad[]" },
		{ "<", "bad[]" },
		{ ">", "bad[]" },
		{ "<a@b", "bad[]" },
		{ "<a@b ", "bad[]" },
		{ "<a@b SIZE=3", "bad[]" },
		{ "<a@b SIZE=3>", "bad[]" },
		{ "< a@b>", "bad[]" },
		{ "<a@b >", "bad[]" },
		{ "<a b@c>", "bad[]" },
		{ "<<a@b>>", "bad[]" },
		{ "<a@b\\>", "bad[]" },
		{ "<\"a@b>", "bad[]" },
		{ "<\"a@b\\\">", "bad[]" },
		{ "<\">", "bad[]" },
		{ "<\"\">", "bad[]" },
		{ "<\\", "bad[]" },
		{ "<a@>", "bad[]" },
		{ "<a@b@>", "bad[]" },
		{ "<\"a@b\">", "bad[]" },
		{ "<a\\@b>", "bad[]" },
		{ "<a@\"b\">", "bad[]" },
		{ "<a@b\\c>", "bad[]" },
		{ "<a@\"b@c\">", "bad[]" },
		{ "<a@b(c)>", "bad[]" },
		{ "<a@b,c@d>", "ok[a@b,c@d]" },
		{ "<a@b,c>", "bad[]" },
		{ "<\"a\tb\"@c>", "bad[]" },
		{ "<a@b\t>", "bad[]" },
	};
	struct str got = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		parse(view_of(cases[i].text), false, &got);
		if (strcmp(str_c(&got), cases[i].want) != 0)
			print_error("case %s\n", cases[i].text);
		assert_str(&got, cases[i].want);
		/* Leniency is about brackets, never about what is in them. */
		if (view_has(view_of(cases[i].text), '<')) {
			parse(view_of(cases[i].text), true, &got);
			assert_str(&got, cases[i].want);
		}
	}
	str_free(&got);
}

static void test_bare_addresses_need_leniency(void **state)
{
	static const struct {
		const char *text;
		const char *want;
	} cases[] = {
		{ "a@b", "ok[a@b]" },
		{ " a@b SIZE=3", "ok[a@b] SIZE=3" },
		{ "a@b\tSIZE=3", "ok[a@b]\tSIZE=3" },
		{ "\"a b\"@c X", "ok[a b@c] X" },
		{ "@x:a@b", "ok[a@b]" },
		{ "postmaster", "ok[postmaster]" },
		{ "", "bad[]" },
		{ "  ", "bad[]" },
		{ "\"\"", "bad[]" },
		{ "a@b>", "bad[]" },
		{ "a <a@b>", "ok[a] <a@b>" },
		{ "a<a@b>", "bad[]" },
		{ "\"a@b", "bad[]" },
		{ "a@", "bad[]" },
		{ "@x:", "bad[]" },
	};
	struct str got = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		parse(view_of(cases[i].text), true, &got);
		if (strcmp(str_c(&got), cases[i].want) != 0)
			print_error("case %s\n", cases[i].text);
		assert_str(&got, cases[i].want);
		parse(view_of(cases[i].text), false, &got);
		assert_str(&got, "bad[]");
	}
	str_free(&got);
}

/* IN1: every byte in the local part, with no, a good, and a bad domain. */
static void test_control_bytes_are_bad_wherever_they_stand(void **state)
{
	static const char *const around[][2] = {
		{ "<a", "b@c>" },        { "<\"a", "b\"@c>" },
		{ "<a\\", "b@c>" },      { "<a", ">" },
		{ "<a@b", "c>" },        { "<a@-_-.", ">" },
		{ "<@x", ":a@b>" },      { "<a@b> X", "Y" },
		{ "<a@[1.2.3.4", "]>" },
	};
	struct str text = { 0 };
	struct str got = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(around); i++) {
		for (int byte = 0; byte < 256; byte++) {
			str_set_c(&text, around[i][0]);
			str_append_byte(&text, (char)byte);
			str_append_c(&text, around[i][1]);
			parse(str_view(&text), true, &got);
			if ((byte < 32 && byte != '\t') || byte == 127)
				assert_str(&got, "bad[]");
			if (byte >= 128)
				assert_true(view_starts(str_view(&got),
							VIEW("ok[")));
		}
	}
	str_free(&text);
	str_free(&got);
}

static void test_the_limit_counts_unquoted_bytes(void **state)
{
	struct str text = { 0 };
	struct str got = { 0 };

	(void)state;
	for (int over = 0; over < 2; over++) {
		str_set_c(&text, "<\"");
		for (int i = 0; i < ADDRESS_MAX_BYTES - 2 + over; i++)
			str_append_c(&text, "\\x");
		str_append_c(&text, "\"@b>");
		parse(str_view(&text), false, &got);
		assert_true(view_starts(str_view(&got),
					over ? VIEW("long[]") : VIEW("ok[x")));
	}
	str_free(&text);
	str_free(&got);
}

static void test_quoting_only_where_needed_and_never_a_second_line(void **state)
{
	static const struct {
		const char *address;
		const char *want;
	} cases[] = {
		{ "", "" },
		{ "a@b", "a@b" },
		{ "a.b+c@d", "a.b+c@d" },
		{ "postmaster", "postmaster" },
		{ "a b@c", "\"a b\"@c" },
		{ "a\"\\b@c", "\"a\\\"\\\\b\"@c" },
		{ "a@b@c", "\"a@b\"@c" },
		{ ".a@b", "\".a\"@b" },
		{ "a.@b", "\"a.\"@b" },
		{ "a..b@c", "\"a..b\"@c" },
		{ "@b", "\"\"@b" },
		{ "<a>@b", "\"<a>\"@b" },
		{ "a(b)@c", "\"a(b)\"@c" },
		{ "\xc3\xa9@b", "\xc3\xa9@b" },
		{ "a\r\nX: y@b\n", "\"a??X: y\"@b?" },
		{ "a\x7f@b", "\"a?\"@b" },
	};
	struct str got = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		str_reset(&got);
		address_quote(&got, view_of(cases[i].address));
		assert_str(&got, cases[i].want);
	}
	str_reset(&got);
	address_quote(&got, VIEW("a\0b@c"));
	assert_str(&got, "\"a?b\"@c");
	str_free(&got);
}

static void test_parts_lie_around_the_last_at(void **state)
{
	(void)state;
	assert_view(address_local(VIEW("a@b@c")), "a@b");
	assert_view(address_domain(VIEW("a@b@c")), "c");
	assert_view(address_local(VIEW("a")), "a");
	assert_null(address_domain(VIEW("a")).p);
	assert_int_equal(address_domain(VIEW("a@")).len, 0);
	assert_int_equal(address_local(VIEW("")).len, 0);
	assert_null(address_domain(VIEW("")).p);

	assert_true(address_eq(VIEW("a@Example.ORG"), VIEW("a@eXAMPLE.org")));
	assert_false(address_eq(VIEW("A@b"), VIEW("a@b")));
	assert_false(address_eq(VIEW("a@b"), VIEW("a@c")));
	assert_false(address_eq(VIEW("A"), VIEW("a")));
	assert_true(address_eq(VIEW(""), VIEW("")));
	assert_false(address_eq(VIEW("a"), VIEW("a@")));
	assert_false(address_eq(VIEW("a@b"), VIEW("ab@")));
	assert_true(address_is_ascii(VIEW("a@b")));
	assert_false(address_is_ascii(VIEW("a@b\x80")));
}

static void test_utf8_has_one_form_for_each_character(void **state)
{
	static const struct {
		const char *text;
		bool ok;
	} cases[] = {
		{ "", true },
		{ "plain \x7f", true },
		{ "\xc2\x80", true },
		{ "\xdf\xbf", true },
		{ "\xe0\xa0\x80", true },
		{ "\xed\x9f\xbf", true },
		{ "\xee\x80\x80", true },
		{ "\xef\xbf\xbf", true },
		{ "\xf0\x90\x80\x80", true },
		{ "\xf4\x8f\xbf\xbf", true },
		{ "\x80", false }, /* nothing before it */
		{ "a\xbfz", false },
		{ "\xc2", false }, /* cut */
		{ "\xe2\x82", false },
		{ "\xf0\x9f\x98", false },
		{ "\xc2z", false },
		{ "\xe2\x82z", false },
		{ "\xc0\xaf", false }, /* overlong */
		{ "\xc1\xbf", false },
		{ "\xe0\x9f\xbf", false },
		{ "\xf0\x8f\xbf\xbf", false },
		{ "\xed\xa0\x80", false }, /* surrogates */
		{ "\xed\xbf\xbf", false },
		{ "\xf4\x90\x80\x80", false }, /* behind the last character */
		{ "\xf5\x80\x80\x80", false },
		{ "\xf8\x88\x80\x80\x80", false },
		{ "\xfe", false },
		{ "\xff", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_int_equal(utf8_valid(view_of(cases[i].text)),
				 cases[i].ok);
	assert_true(utf8_valid(VIEW("\0")));
}

static void test_literals_are_addresses_in_brackets(void **state)
{
	static const struct {
		const char *text;
		bool ok;
	} cases[] = {
		{ "[192.0.2.1]", true },
		{ "[IPv6:2001:db8::1]", true },
		{ "[ipv6:::ffff:192.0.2.1]", true },
		{ "[2001:db8::1]", false },
		{ "[IPv6:192.0.2.1]", false },
		{ "[IPv6:]", false },
		{ "[192.0.2.256]", false },
		{ "[192.0.2]", false },
		{ "[3221225985]", false },
		{ "[192.0.2.1 ]", false },
		{ "[]", false },
		{ "[", false },
		{ "]", false },
		{ "", false },
		{ "192.0.2.1", false },
		{ "[192.0.2.1", false },
		{ "[IPv6:fe80::1%eth0]", false },
		{ "[IPv6:1111:2222:3333:4444:5555:6666:7777:8888:9999:0]",
		  false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_int_equal(address_is_literal(view_of(cases[i].text)),
				 cases[i].ok);
	assert_false(address_is_literal(VIEW("[192.0.2.1\0]")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths_in_brackets),
		cmocka_unit_test(test_bare_addresses_need_leniency),
		cmocka_unit_test(
			test_control_bytes_are_bad_wherever_they_stand),
		cmocka_unit_test(test_the_limit_counts_unquoted_bytes),
		cmocka_unit_test(
			test_quoting_only_where_needed_and_never_a_second_line),
		cmocka_unit_test(test_parts_lie_around_the_last_at),
		cmocka_unit_test(test_utf8_has_one_form_for_each_character),
		cmocka_unit_test(test_literals_are_addresses_in_brackets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
