#include "queue/envelope.h"

/* cmocka.h wants these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lib/qfile.h"

/* What came out: F<sender>, T<recipient>, `.` end, `+` too long, `!` bad. */
static bool tell(struct str *told, struct envelope *e, struct view input)
{
	for (;;) {
		switch (envelope_next(e, &input)) {
		case ENVELOPE_MORE:
			return true;
		case ENVELOPE_SENDER:
			str_append_c(told, "F");
			str_append(told, str_view(&e->address));
			break;
		case ENVELOPE_RECIPIENT:
			str_append_c(told, "T");
			str_append(told, str_view(&e->address));
			break;
		case ENVELOPE_END:
			str_append_c(told, ".");
			return false;
		case ENVELOPE_TOO_LONG:
			str_append_c(told, "+");
			return false;
		case ENVELOPE_BAD:
			str_append_c(told, "!");
			return false;
		}
	}
}

static void check(const char *label, struct view input, const char *want)
{
	struct str told = { 0 };
	struct envelope e = { 0 };

	tell(&told, &e, input);
	if (!view_eq(str_view(&told), view_of(want)))
		fail_msg("%s: %s", label, str_c(&told));
	envelope_free(&e);

	str_reset(&told);
	for (size_t i = 0; i < input.len; i++)
		if (!tell(&told, &e, view_make(input.p + i, 1)))
			break;
	if (!view_eq(str_view(&told), view_of(want)))
		fail_msg("%s, byte by byte: %s", label, str_c(&told));
	envelope_free(&e);
	str_free(&told);
}

static void test_forms(void **state)
{
	static const struct {
		const char *label;
		struct view input;
		const char *want;
	} cases[] = {
		{ "one recipient", { "Fa@b\0Tc@d\0\0", 11 }, "Fa@bTc@d." },
		{ "two", { "Fa\0Tb\0Tc\0\0", 10 }, "FaTbTc." },
		{ "null sender", { "F\0Tb\0\0", 6 }, "FTb." },
		{ "empty recipient", { "F\0T\0\0", 5 }, "FT." },
		{ "what follows", { "F\0Tb\0\0more", 10 }, "FTb." },
		{ "letters within", { "FTF\0TFT\0\0", 9 }, "FTFTFT." },
		{ "newlines", { "Fa\nb\0Tc\rd\0\0", 11 }, "Fa\nbTc\rd." },
		{ "no recipient", { "Fa\0\0", 4 }, "Fa!" },
		{ "not F", { "Ta\0\0", 4 }, "!" },
		{ "small f", { "fa\0Tb\0\0", 7 }, "!" },
		{ "not T", { "Fa\0Xb\0\0", 7 }, "Fa!" },
		{ "two senders", { "Fa\0Fb\0Tc\0\0", 10 }, "Fa!" },
		{ "nothing", { "", 0 }, "" },
		{ "NUL first", { "\0", 1 }, "!" },
		{ "cut in the sender", { "Fab", 3 }, "" },
		{ "cut in a recipient", { "Fa\0Tb", 5 }, "Fa" },
		{ "cut before the end", { "Fa\0Tb\0", 6 }, "FaTb" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		check(cases[i].label, cases[i].input, cases[i].want);
}

static void test_address_limit(void **state)
{
	struct str input = { 0 };
	struct str want = { 0 };

	(void)state;
	str_append_byte(&input, 'F');
	for (int i = 0; i < QFILE_ADDRESS_MAX; i++)
		str_append_byte(&input, 'a');
	str_append(&want, str_view(&input));
	str_append(&want, VIEW("Tb."));
	str_append(&input, VIEW("\0Tb\0\0"));
	check("longest sender", str_view(&input), str_c(&want));

	str_set(&input, VIEW("F\0T"));
	for (int i = 0; i < QFILE_ADDRESS_MAX + 1; i++)
		str_append_byte(&input, 'a');
	str_append(&input, VIEW("\0\0"));
	check("long recipient", str_view(&input), "F+");
	str_free(&input);
	str_free(&want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_address_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
