#include "queue/received.h"

/* cmocka.h wants these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_words_are_those_of_qmail_queue(void **state)
{
	static const struct {
		uid_t uid;
		const char *want;
	} cases[] = {
		{ 11, "Received: (qmail 4711 invoked by alias); "
		      "22 Nov 2026 09:08:43 -0000\n" },
		{ 12, "Received: (qmail 4711 invoked from network); "
		      "22 Nov 2026 09:08:43 -0000\n" },
		{ 13, "Received: (qmail 4711 invoked for bounce); "
		      "22 Nov 2026 09:08:43 -0000\n" },
		{ 1000, "Received: (qmail 4711 invoked by uid 1000); "
			"22 Nov 2026 09:08:43 -0000\n" },
		{ 0, "Received: (qmail 4711 invoked by uid 0); "
		     "22 Nov 2026 09:08:43 -0000\n" },
	};
	struct ids ids = { 0 };
	struct str line = { 0 };

	(void)state;
	str_append_c(&ids.text, "alias 11 1\nqmaild 12 1\nqmails 13 1\n");
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		str_reset(&line);
		received_format(&line, &ids, cases[i].uid, 4711, 1795338523);
		assert_string_equal(str_c(&line), cases[i].want);
	}
	str_free(&line);
	ids_free(&ids);
}

static void test_single_uid_is_just_a_uid(void **state)
{
	struct ids ids = { .single = true, .single_uid = 1000 };
	struct str line = { 0 };

	(void)state;
	received_format(&line, &ids, 1000, 1, 0);
	assert_string_equal(str_c(&line),
			    "Received: (qmail 1 invoked by uid 1000); "
			    "1 Jan 1970 00:00:00 -0000\n");
	str_free(&line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words_are_those_of_qmail_queue),
		cmocka_unit_test(test_single_uid_is_just_a_uid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
