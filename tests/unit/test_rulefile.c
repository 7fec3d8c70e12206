#include "tests/unit/unit.h"
#include "tools/ucspi/rulefile.h"
#include "tools/ucspi/rules.h"

/* All keys of a rule, a blank behind each; at most five, then `...`. */
static void keys_of(struct rule *rule, struct str *keys)
{
	struct str key = { 0 };
	unsigned count = 0;

	while (rule_next_key(rule, &key)) {
		if (++count > 5) {
			str_append_c(keys, "...");
			break;
		}
		str_append(keys, str_view(&key));
		str_append_byte(keys, ' ');
	}
	str_free(&key);
}

static void test_addresses_make_their_keys(void **state)
{
	static const struct {
		const char *line;
		const char *keys; /* NULL: cannot be parsed */
	} cases[] = {
		{ "192.0.2.1:allow", "192.0.2.1 " },
		{ ":allow", " " },
		{ "10.:allow", "10. " },
		{ "=h.example:allow", "=h.example " },
		{ "=.Example:allow", "=.Example =.example " },
		{ "=:allow", "= " },
		{ "joe@192.0.2.1:allow", "joe@192.0.2.1 " },
		{ "Joe@=H:allow", "Joe@=H Joe@=h " },
		{ "joe-x@1.2.3.4-5:allow", "joe-x@1.2.3.4-5 " },
		{ "joe@2001:DB8::1:deny", "joe@2001:db8::1 " },
		{ "1.2.3.37-39:deny", "1.2.3.37 1.2.3.38 1.2.3.39 " },
		{ "10.2-3.:deny", "10.2. 10.3. " },
		{ "1.2.3.-2:deny", "1.2.3.0 1.2.3.1 1.2.3.2 " },
		{ "1.2.3.254-999:deny", "1.2.3.254 1.2.3.255 " },
		{ "1.2.3.254-99999999999999999999:deny",
		  "1.2.3.254 1.2.3.255 " },
		{ "1.2.3.9-7:deny", "" },
		{ "1.2.3.4-5-6:deny", NULL },
		{ "x-y:deny", NULL },
		{ "=a-b.example:deny", "=a-b.example " },
		{ "10.0.0.0/8:deny", "10. " },
		{ "10.0.0.0/16:deny", "10.0. " },
		{ "10.0.0.1/32:deny", "10.0.0.1 " },
		{ "10.4.0.0/14:deny", "10.4. 10.5. 10.6. 10.7. " },
		{ "10.0.0.128/30:deny",
		  "10.0.0.128 10.0.0.129 10.0.0.130 10.0.0.131 " },
		{ "0.0.0.0/0:deny", "0. 1. 2. 3. 4. ..." },
		{ "10.0.0.1/8:deny", NULL },
		{ "10.0.0.0/33:deny", NULL },
		{ "10.0.0/8:deny", NULL },
		{ "/:deny", NULL },
		{ "2001:DB8::1:deny", "2001:db8::1 " },
		{ "2001:db8::/32:deny", "2001:db8::/32 " },
		{ "2001:db8::1/128:deny", "2001:db8::1 " },
		{ "::/0:deny", "::/0 " },
		{ "::ffff:192.0.2.1:deny", "192.0.2.1 " },
		{ "2001:db8::1/32:deny", NULL },
		{ "2001:db8:::deny", "2001:db8:: " },
		{ "a:b:deny", NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct str keys = { 0 };
		struct rule rule;
		enum rule_result result =
			rule_parse(view_of(cases[i].line), &rule);

		if (!cases[i].keys) {
			assert_int_equal(result, RULE_BAD);
		} else {
			assert_int_equal(result, RULE_OK);
			keys_of(&rule, &keys);
			assert_string_equal(str_c(&keys), cases[i].keys);
		}
		rule_free(&rule);
		str_free(&keys);
	}
}

static void test_instructions_make_their_value(void **state)
{
	const struct {
		const char *line;
		struct view data; /* p NULL: cannot be parsed */
	} cases[] = {
		{ ":allow", VIEW("") },
		{ ":deny", VIEW("D\0") },
		{ ":allow \t", VIEW("") },
		{ ":allow,A=\"x\"", VIEW("+A=x\0") },
		{ ":allow,A=\"\",B=/y \"/", VIEW("+A=\0+B=y \"\0") },
		{ ":deny,A=xbx", VIEW("D\0+A=b\0") },
		{ ":allow,A=\":deny\"", VIEW("+A=:deny\0") },
		{ ":denyX", { 0 } },
		{ ":first", { 0 } },
		{ ":allow,", { 0 } },
		{ ":allow,A", { 0 } },
		{ ":allow,A=", { 0 } },
		{ ":allow,A=\"", { 0 } },
		{ ":allow,A=\"x", { 0 } },
		{ ":allow,=\"x\"", { 0 } },
		{ ":allow,A=\"x\"B=\"y\"", { 0 } },
		{ ":allow,A=\"x\",", { 0 } },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct rule rule;
		enum rule_result result =
			rule_parse(view_of(cases[i].line), &rule);

		assert_int_equal(result, cases[i].data.p ? RULE_OK : RULE_BAD);
		if (cases[i].data.p)
			assert_true(
				view_eq(str_view(&rule.data), cases[i].data));
		rule_free(&rule);
	}
}

static void test_lines_that_are_no_rules(void **state)
{
	static const struct {
		const char *line;
		enum rule_result want;
	} cases[] = {
		{ "", RULE_NONE },
		{ " \t", RULE_NONE },
		{ "#:allow", RULE_NONE },
		{ "foo", RULE_NO_COLON },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct rule rule;

		assert_int_equal(rule_parse(view_of(cases[i].line), &rule),
				 cases[i].want);
		rule_free(&rule);
	}
}

static void test_a_nul_is_refused(void **state)
{
	struct rule rule;

	(void)state;
	assert_int_equal(rule_parse(VIEW(":allow,A=\"\0\""), &rule), RULE_BAD);
	rule_free(&rule);
}

static void test_damaged_values_yield_no_nonsense(void **state)
{
	const struct view values[] = {
		VIEW(""),      VIEW("+"),    VIEW("+A=b"),  VIEW("\0\0\0"),
		VIEW("+=x\0"), VIEW("+A\0"), VIEW("A=b\0"), VIEW("+\0=\0"),
	};
	struct view name;
	struct view value;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(values); i++) {
		struct view rest = values[i];

		assert_false(rules_next_variable(&rest, &name, &value));
		assert_false(rules_deny(values[i]));
	}
}

static void test_variables_come_in_their_order(void **state)
{
	struct view rest = VIEW("D\0+A=1=2\0junk\0+B=\0+C");
	struct view name;
	struct view value;

	(void)state;
	assert_true(rules_deny(rest));
	assert_true(rules_next_variable(&rest, &name, &value));
	assert_true(view_eq(name, VIEW("A")) && view_eq(value, VIEW("1=2")));
	assert_true(rules_next_variable(&rest, &name, &value));
	assert_true(view_eq(name, VIEW("B")) && view_eq(value, VIEW("")));
	assert_false(rules_next_variable(&rest, &name, &value));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses_make_their_keys),
		cmocka_unit_test(test_instructions_make_their_value),
		cmocka_unit_test(test_lines_that_are_no_rules),
		cmocka_unit_test(test_a_nul_is_refused),
		cmocka_unit_test(test_damaged_values_yield_no_nonsense),
		cmocka_unit_test(test_variables_come_in_their_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
