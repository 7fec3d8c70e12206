#include "tests/unit/unit.h"

#include "local/dotqmail.h"

/* The lines as `kind:text`, with `|` between them. */
static void show_lines(const char *content, struct str *shown)
{
	static const char kinds[] = "bcMmpfl?";
	struct dotqmail lines;
	struct dotqmail_line line;

	str_reset(shown);
	dotqmail_init(&lines, view_of(content));
	for (size_t number = 1; dotqmail_next(&lines, &line); number++) {
		assert_int_equal(line.number, number);
		if (shown->len)
			str_append_byte(shown, '|');
		str_append_byte(shown, kinds[line.kind]);
		str_append_byte(shown, ':');
		str_append(shown, line.text);
	}
}

static void test_lines_are_what_their_first_byte_says(void **state)
{
	static const struct {
		const char *label;
		const char *content;
		const char *want;
	} cases[] = {
		{ "empty file", "", "b:" },
		{ "one LF", "\n", "b:" },
		{ "two LFs", "\n\n", "b:|b:" },
		{ "no LF at the end", "./Maildir/", "M:./Maildir/" },
		{ "mbox", "./Mailbox\n", "m:./Mailbox" },
		{ "absolute", "/m/\n/m\n", "M:/m/|m:/m" },
		{ "trailing blanks", "./m/ \t \n", "M:./m/" },
		{ "only blanks", " \t\n", "b:" },
		{ "leading blank is part of an address", " a@b\n", "f: a@b" },
		{ "program", "| prog 'x' \n", "p: prog 'x'" },
		{ "pipe alone", "|\n", "p:" },
		{ "ampersand", "&a@b\n", "f:a@b" },
		{ "two ampersands", "&&a@b\n", "f:&a@b" },
		{ "bare address", "a@b\n", "f:a@b" },
		{ "comment", "#x\n", "c:#x" },
		{ "list", "+list\n", "l:list" },
		{ "other plus", "+lists\n+\n", "?:lists|?:" },
		{ "dot", ".\n", "m:." },
	};
	struct str shown = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		show_lines(cases[i].content, &shown);
		if (strcmp(str_c(&shown), cases[i].want) != 0)
			fail_msg("%s: %s", cases[i].label, str_c(&shown));
	}
	str_free(&shown);
}

static void test_line_ends_at_a_nul(void **state)
{
	struct dotqmail lines;
	struct dotqmail_line line;

	(void)state;
	dotqmail_init(&lines, VIEW("./m\0/\n&a\0b\n"));
	assert_true(dotqmail_next(&lines, &line));
	assert_int_equal(line.kind, DOTQMAIL_MBOX);
	assert_true(view_eq(line.text, VIEW("./m")));
	assert_true(dotqmail_next(&lines, &line));
	assert_true(view_eq(line.text, VIEW("a")));
	assert_false(dotqmail_next(&lines, &line));
}

static void show_names(const char *dash, const char *ext, struct str *shown)
{
	struct str name = { 0 };
	size_t state = 0;
	size_t matched;

	str_reset(shown);
	while (dotqmail_name(view_of(dash), view_of(ext), &state, &name,
			     &matched)) {
		str_append(shown, str_view(&name));
		if (matched != SIZE_MAX) {
			str_append_byte(shown, '=');
			str_append(shown, view_from(view_of(ext), matched));
		}
		str_append_byte(shown, ' ');
	}
	str_free(&name);
}

/* The last case is FP2: dots become colons, and nothing leaves the home. */
static void test_names_go_from_exact_to_default(void **state)
{
	static const struct {
		const char *dash;
		const char *ext;
		const char *want;
	} cases[] = {
		{ "", "", ".qmail .qmaildefault= " },
		{ "-", "", ".qmail- .qmail-default= " },
		{ "-", "a", ".qmail-a .qmail-default=a " },
		{ "-", "A.b", ".qmail-a:b .qmail-default=A.b " },
		{ "-", "a-B-c",
		  ".qmail-a-b-c .qmail-a-b-default=c .qmail-a-default=B-c "
		  ".qmail-default=a-B-c " },
		{ "-", "a-", ".qmail-a- .qmail-a-default= .qmail-default=a- " },
		{ "-", "x-Default",
		  ".qmail-x-default=Default .qmail-x-default=Default "
		  ".qmail-default=x-Default " },
		{ "-", "../../etc/x",
		  ".qmail-::/::/etc/x .qmail-default=../../etc/x " },
	};
	struct str shown = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		show_names(cases[i].dash, cases[i].ext, &shown);
		assert_string_equal(str_c(&shown), cases[i].want);
	}
	str_free(&shown);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines_are_what_their_first_byte_says),
		cmocka_unit_test(test_line_ends_at_a_nul),
		cmocka_unit_test(test_names_go_from_exact_to_default),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
