#include "lib/ipaddr.h"
#include "tests/unit/unit.h"

static void test_text_comes_back_in_its_one_form(void **state)
{
	static const struct {
		const char *text;
		const char *want; /* NULL: no address */
	} cases[] = {
		{ "192.0.2.1", "192.0.2.1" },
		{ "0.0.0.0", "0.0.0.0" },
		{ "::", "::" },
		{ "2001:DB8:0:0::1", "2001:db8::1" },
		{ "::ffff:192.0.2.1", "192.0.2.1" },
		{ "::ffff:c000:201", "192.0.2.1" },
		{ "192.0.2", NULL },
		{ "192.0.2.256", NULL },
		{ "192.0.2.01", NULL },
		{ "192.0.2.1 ", NULL },
		{ "", NULL },
		{ ":::", NULL },
		{ "fe80::1%lo", NULL },
		{ "1:2:3:4:5:6:7:8:9", NULL },
		{ "11111111111111111111111111111111111111111111111111", NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct str s = { 0 };
		struct ipaddr ip;
		bool ok = ipaddr_parse(view_of(cases[i].text), &ip);

		assert_int_equal(ok, cases[i].want != NULL);
		if (ok) {
			ipaddr_format(&s, &ip);
			assert_string_equal(str_c(&s), cases[i].want);
		}
		str_free(&s);
	}
}

static void test_nul_is_not_the_end(void **state)
{
	struct ipaddr ip;

	(void)state;
	assert_false(ipaddr_parse(VIEW("192.0.2.1\0"), &ip));
}

static void test_mask_keeps_the_first_bits(void **state)
{
	static const struct {
		const char *text;
		unsigned bits;
		const char *want;
	} cases[] = {
		{ "255.255.255.255", 32, "255.255.255.255" },
		{ "255.255.255.255", 0, "0.0.0.0" },
		{ "255.255.255.255", 9, "255.128.0.0" },
		{ "ffff:ffff::ffff", 17, "ffff:8000::" },
		{ "ffff::1", 128, "ffff::1" },
		{ "ffff::1", 127, "ffff::" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct str s = { 0 };
		struct ipaddr ip;

		assert_true(ipaddr_parse(view_of(cases[i].text), &ip));
		ipaddr_mask(&ip, cases[i].bits);
		ipaddr_format(&s, &ip);
		assert_string_equal(str_c(&s), cases[i].want);
		str_free(&s);
	}
}

static void test_networks(void **state)
{
	static const struct {
		const char *text;
		const char *in; /* NULL: no network */
		const char *out;
	} cases[] = {
		{ "192.0.2.0/24", "192.0.2.255", "192.0.3.0" },
		{ "192.0.2.1", "192.0.2.1", "192.0.2.0" },
		{ "192.0.2.1/32", "::ffff:192.0.2.1", "::192.0.2.1" },
		{ "0.0.0.0/0", "255.0.0.1", "::" },
		{ "2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::" },
		{ "::/0", "::1", "0.0.0.0" },
		{ "192.0.2.1/24", NULL, NULL },
		{ "192.0.2.0/33", NULL, NULL },
		{ "192.0.2.0/", NULL, NULL },
		{ "/24", NULL, NULL },
		{ "192.0.2.0/-1", NULL, NULL },
		{ "192.0.2.0/24/24", NULL, NULL },
		{ "", NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct ipaddr network;
		struct ipaddr ip;
		unsigned bits;
		bool ok = ipaddr_parse_network(view_of(cases[i].text), &network,
					       &bits);

		assert_int_equal(ok, cases[i].in != NULL);
		if (!ok)
			continue;
		assert_true(ipaddr_parse(view_of(cases[i].in), &ip));
		assert_true(ipaddr_within(&ip, &network, bits));
		assert_true(ipaddr_parse(view_of(cases[i].out), &ip));
		assert_false(ipaddr_within(&ip, &network, bits));
	}
}

static void test_sockets_and_back(void **state)
{
	static const char *const texts[] = { "192.0.2.1", "2001:db8::1" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		struct sockaddr_storage address;
		struct ipaddr ip;
		struct ipaddr back;
		unsigned port = 0;

		assert_true(ipaddr_parse(view_of(texts[i]), &ip));
		assert_true(ipaddr_to_socket(&ip, 2525, &address) > 0);
		assert_true(ipaddr_from_socket((struct sockaddr *)&address,
					       &back, &port));
		assert_int_equal(port, 2525);
		assert_memory_equal(&ip.bytes, &back.bytes, 16);
		assert_int_equal(ip.v6, back.v6);
	}
}

static void test_other_families_are_no_address(void **state)
{
	struct sockaddr_storage address = { .ss_family = AF_UNIX };
	struct ipaddr ip;
	unsigned port;

	(void)state;
	assert_false(
		ipaddr_from_socket((struct sockaddr *)&address, &ip, &port));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_comes_back_in_its_one_form),
		cmocka_unit_test(test_nul_is_not_the_end),
		cmocka_unit_test(test_mask_keeps_the_first_bits),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_sockets_and_back),
		cmocka_unit_test(test_other_families_are_no_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
