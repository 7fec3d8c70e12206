/*
 * tcprules' input: every line is parsed and its keys are counted; what it
 * compiled to, and the input itself, is read as a rule's value.
 */
#include "tests/fuzz/fuzz.h"

#include <assert.h>

#include "tools/ucspi/rulefile.h"
#include "tools/ucspi/rules.h"

static void read_value(struct view data)
{
	struct view name;
	struct view value;

	(void)rules_deny(data);
	while (rules_next_variable(&data, &name, &value)) {
		assert(name.len && !view_has(name, '=') &&
		       !view_has(name, '\0') && !view_has(value, '\0'));
	}
}

static void try_line(struct view line)
{
	struct rule rule;
	struct str key = { 0 };
	unsigned keys = 0;

	if (rule_parse(line, &rule) == RULE_OK) {
		while (rule_next_key(&rule, &key))
			assert(++keys <= 256);
		read_value(str_view(&rule.data));
	}
	rule_free(&rule);
	str_free(&key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view rest = view_make(data, size);

	read_value(rest);
	while (rest.p)
		try_line(view_cut(&rest, '\n'));
	return 0;
}
