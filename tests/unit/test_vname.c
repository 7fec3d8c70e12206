#include "lib/vname.h"

#include "tests/unit/unit.h"

static void test_users_that_are_good_come_out_in_lower_case(void **state)
{
	static const char *const cases[][2] = {
		{ "joe", "joe" },
		{ "Joe.Doe", "joe.doe" },
		{ "a", "a" },
		{ "x-y_z+9", "x-y_z+9" },
		{ "o'neill", "o'neill" },
		{ "default", "default" },
	};
	struct str user = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		assert_int_equal(vname_user(view_of(cases[i][0]), &user),
				 VNAME_OK);
		assert_str(&user, cases[i][1]);
	}
	str_free(&user);
}

static void test_users_that_reach_elsewhere_are_bad(void **state)
{
	const struct view cases[] = {
		VIEW(""),         VIEW("."),           VIEW(".."),
		VIEW("../x"),     VIEW("a/b"),         VIEW("a..b"),
		VIEW(".qmail"),   VIEW("-x"),          VIEW("a:b"),
		VIEW("a\nb"),     VIEW("a\0b"),        VIEW("a b"),
		VIEW("a\x7f"),    VIEW("a@b"),         VIEW("a%b"),
		VIEW("\xc3\xa9"), VIEW("a|b"),         VIEW("a$b"),
		VIEW("vpasswd"),  VIEW("VPASSWD.cdb"), VIEW("cdb.tmp"),
	};
	struct str user = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_int_equal(vname_user(cases[i], &user), VNAME_BAD);
	str_free(&user);
}

static void test_every_byte_of_a_user_is_listed_or_bad(void **state)
{
	struct str user = { 0 };

	(void)state;
	for (int byte = 0; byte < 256; byte++) {
		char name[3] = { 'a', (char)byte, 'b' };
		bool good = (byte >= '0' && byte <= '9') ||
			    (byte >= 'a' && byte <= 'z') ||
			    (byte >= 'A' && byte <= 'Z') ||
			    (byte && strchr("-_.+=#~&'", byte));

		assert_int_equal(vname_user(view_make(name, 3), &user),
				 good ? VNAME_OK : VNAME_BAD);
	}
	str_free(&user);
}

static void test_domains_are_labels(void **state)
{
	static const char *const good[] = {
		"example.test", "EXAMPLE.Test", "xn--bcher-kva.example",
		"a.b.c.d",      "1.example",    "localhost",
	};
	const struct view bad[] = {
		VIEW(""),
		VIEW("."),
		VIEW("a..b"),
		VIEW(".a"),
		VIEW("a."),
		VIEW("-a.b"),
		VIEW("a-.b"),
		VIEW("a_b.c"),
		VIEW("a/b"),
		VIEW("../etc"),
		VIEW("a:b"),
		VIEW("a\n.b"),
		VIEW("b\xc3\xbc.de"),
		VIEW("a b"),
		VIEW("a\0b"),
		VIEW("[127.0.0.1]"),
		VIEW("+a"),
	};
	struct str domain = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(good); i++)
		assert_int_equal(vname_domain(view_of(good[i]), &domain),
				 VNAME_OK);
	assert_int_equal(vname_domain(VIEW("ExAmple.TEST"), &domain), VNAME_OK);
	assert_str(&domain, "example.test");
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_int_equal(vname_domain(bad[i], &domain), VNAME_BAD);
	str_free(&domain);
}

static void test_lengths_have_limits(void **state)
{
	char text[200];
	struct str name = { 0 };

	(void)state;
	memset(text, 'a', sizeof(text));
	assert_int_equal(vname_user(view_make(text, 64), &name), VNAME_OK);
	assert_int_equal(vname_user(view_make(text, 65), &name),
			 VNAME_TOO_LONG);
	assert_int_equal(vname_domain(view_make(text, 63), &name), VNAME_OK);
	assert_int_equal(vname_domain(view_make(text, 64), &name), VNAME_BAD);
	text[60] = '.';
	assert_int_equal(vname_domain(view_make(text, 96), &name), VNAME_OK);
	assert_int_equal(vname_domain(view_make(text, 97), &name),
			 VNAME_TOO_LONG);
	str_free(&name);
}

static void test_addresses_split_at_the_last_separator(void **state)
{
	static const char *const cases[][3] = {
		{ "joe@dom", "joe", "dom" }, { "joe%dom", "joe", "dom" },
		{ "joe/dom", "joe", "dom" }, { "a%b@dom", "a%b", "dom" },
		{ "a@b@dom", "a@b", "dom" }, { "@dom", "", "dom" },
		{ "joe@", "joe", "" },
	};
	struct view user;
	struct view domain;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		vname_split(view_of(cases[i][0]), &user, &domain);
		assert_view(user, cases[i][1]);
		assert_view(domain, cases[i][2]);
	}
	vname_split(VIEW("joe"), &user, &domain);
	assert_view(user, "joe");
	assert_null(domain.p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_users_that_are_good_come_out_in_lower_case),
		cmocka_unit_test(test_users_that_reach_elsewhere_are_bad),
		cmocka_unit_test(test_every_byte_of_a_user_is_listed_or_bad),
		cmocka_unit_test(test_domains_are_labels),
		cmocka_unit_test(test_lengths_have_limits),
		cmocka_unit_test(test_addresses_split_at_the_last_separator),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
