#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "send/verp.h"

static void test_senders_are_expanded_for_each_recipient(void **state)
{
	static const struct {
		const char *sender;
		const char *recipient;
		const char *want;
	} cases[] = {
		{ "list-@host-@[]", "box@home", "list-box=home@host" },
		{ "l-@h-@[]", "a@b@c", "l-a@b=c@h" },
		{ "l@x-@h-@[]", "a@b", "l@x-a=b@h" },
		{ "list-@host", "box@home", "list-@host" },
		{ "", "box@home", "" },
		{ "#@[]", "box@home", "#@[]" },
		{ "-@[]", "box@home", "-@[]" },
		{ "nohost-@[]", "box@home", "nohost-@[]" },
		{ "list-@host-@[]", "nohost", "list-@host-@[]" },
		{ "@-@[]", "a@b", "a=b@" },
	};
	struct str got = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		verp_expand(&got, view_of(cases[i].sender),
			    view_of(cases[i].recipient));
		assert_string_equal(str_c(&got), cases[i].want);
	}
	str_free(&got);
}

static void test_bounces_go_to_the_owner(void **state)
{
	(void)state;
	assert_true(view_eq(verp_owner(VIEW("list-@host-@[]")),
			    VIEW("list-@host")));
	assert_true(view_eq(verp_owner(VIEW("a@b")), VIEW("a@b")));
	assert_true(view_eq(verp_owner(VIEW("#@[]")), VIEW("#@[]")));
	assert_true(view_eq(verp_owner(VIEW("-@[]")), VIEW("")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_senders_are_expanded_for_each_recipient),
		cmocka_unit_test(test_bounces_go_to_the_owner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
