#include "lib/dns_servers.h"
#include "tests/unit/unit.h"

/* `1.2.3.4:53 ::1:53 ` */
static void assert_servers(const struct dns_servers *s, const char *want)
{
	struct str text = { 0 };

	for (size_t i = 0; i < s->count; i++) {
		ipaddr_format(&text, &s->list[i].ip);
		str_appendf(&text, ":%u ", s->list[i].port);
	}
	assert_string_equal(str_c(&text), want);
	str_free(&text);
}

static void test_a_list_of_caches(void **state)
{
	static const struct {
		const char *text;
		const char *want;
	} cases[] = {
		{ "", "" },
		{ "127.0.0.2", "127.0.0.2:53 " },
		{ "127.0.0.2 ::1  10.0.0.1 ",
		  "127.0.0.2:53 ::1:53 10.0.0.1:53 " },
		{ " \t127.0.0.2\t127.0.0.3", "127.0.0.2:53 127.0.0.3:53 " },
		{ "127.0.0.1:5353 [::1]:5353", "127.0.0.1:5353 ::1:5353 " },
		/* djbdns's own form */
		{ "127.0.0.1.127.0.0.2", "127.0.0.1:53 127.0.0.2:53 " },
		{ "127.0.0.1.127.0.0.2.1.2", "127.0.0.1:53 127.0.0.2:53 " },
		{ "127.0.0.1:0", "" },
		{ "127.0.0.1:65536", "" },
		{ "127.0.0.1:x", "" },
		{ "127.0.0.1:", "" },
		{ "[::1]", "" },
		{ "[::1:53", "" },
		{ "[:53", "" },
		{ "::1::53", "" },
		{ "localhost", "" },
		{ "localhost 127.0.0.9", "127.0.0.9:53 " },
		{ ".", "" },
		{ "1 2 3 4", "" },
		{ "127.0.0.1 127.0.0.2 127.0.0.3 127.0.0.4 127.0.0.5 "
		  "127.0.0.6 127.0.0.7 127.0.0.8 127.0.0.9",
		  "127.0.0.1:53 127.0.0.2:53 127.0.0.3:53 127.0.0.4:53 "
		  "127.0.0.5:53 127.0.0.6:53 127.0.0.7:53 127.0.0.8:53 " },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct dns_servers s;

		dns_servers_parse_list(&s, view_of(cases[i].text));
		assert_servers(&s, cases[i].want);
		assert_int_equal(s.timeout_ms, 5000);
		assert_int_equal(s.attempts, 2);
	}
}

static void test_resolv_conf(void **state)
{
	static const struct {
		const char *text;
		const char *want;
		int timeout_ms;
		unsigned attempts;
	} cases[] = {
		{ "", "127.0.0.1:53 ", 5000, 2 },
		{ "search a b\n# nameserver 1.1.1.1\n", "127.0.0.1:53 ", 5000,
		  2 },
		{ "nameserver 10.0.0.1\nnameserver\t ::1 \n",
		  "10.0.0.1:53 ::1:53 ", 5000, 2 },
		{ "nameserver 10.0.0.1", "10.0.0.1:53 ", 5000, 2 },
		{ "nameserver fe80::1%eth0\nnameserver 10.0.0.1\n",
		  "10.0.0.1:53 ", 5000, 2 },
		{ "nameserver\nnameservers 10.0.0.1\n", "127.0.0.1:53 ", 5000,
		  2 },
		{ "options rotate timeout:3 attempts:4 edns0\n",
		  "127.0.0.1:53 ", 3000, 4 },
		{ "options timeout:1\noptions attempts:1\n", "127.0.0.1:53 ",
		  1000, 1 },
		{ "options timeout:0 attempts:0\n", "127.0.0.1:53 ", 1000, 1 },
		{ "options timeout:999999999999 attempts:999\n",
		  "127.0.0.1:53 ", 30000, 5 },
		{ "options timeout: attempts:x timeout:-1\n", "127.0.0.1:53 ",
		  5000, 2 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct dns_servers s;

		dns_servers_parse_resolv(&s, view_of(cases[i].text));
		assert_servers(&s, cases[i].want);
		assert_int_equal(s.timeout_ms, cases[i].timeout_ms);
		assert_int_equal(s.attempts, cases[i].attempts);
	}
}

static void test_the_environment_comes_first(void **state)
{
	struct dns_servers s;

	(void)state;
	assert_int_equal(setenv("DNSCACHEIP", "127.0.0.7:77", 1), 0);
	assert_int_equal(dns_servers_load(&s), 0);
	assert_servers(&s, "127.0.0.7:77 ");
	assert_int_equal(setenv("DNSCACHEIP", "nonsense", 1), 0);
	assert_int_equal(dns_servers_load(&s), 0);
	assert_true(s.count >= 1);
	assert_int_equal(unsetenv("DNSCACHEIP"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_list_of_caches),
		cmocka_unit_test(test_resolv_conf),
		cmocka_unit_test(test_the_environment_comes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
