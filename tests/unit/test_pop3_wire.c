/* What POP3 sends of a file, against the same rules written naively. */
#include "popd/wire.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "popd/maildrop.h"

static uint32_t seed = 7;

static uint32_t next_random(void)
{
	seed = seed * 1664525 + 1013904223;
	return seed >> 8;
}

/* One line of the file, its LF cut off (or missing). */
static bool model_line(struct view line, bool ended, struct str *sent,
		       uint64_t *octets)
{
	if (ended && view_ends(line, VIEW("\r")))
		line.len--;
	*octets += line.len + 2;
	if (view_starts(line, VIEW(".")))
		str_append_byte(sent, '.');
	str_append(sent, line);
	str_append(sent, VIEW("\r\n"));
	return line.len == 0;
}

static uint64_t model(struct view file, uint64_t body_lines, struct str *sent)
{
	uint64_t octets = 0;
	bool in_body = false;

	while (file.len && !(in_body && body_lines == 0)) {
		size_t lf = view_find(file, '\n');
		bool empty = model_line(view_first(file, lf), lf < file.len,
					sent, &octets);

		if (in_body && body_lines != WIRE_ALL)
			body_lines--;
		in_body = in_body || empty;
		file = view_from(file, lf + 1);
	}
	return octets;
}

static uint64_t send_pieces(struct view file, uint64_t body_lines,
			    struct str *sent)
{
	struct wire wire;

	wire_init(&wire, body_lines);
	while (file.len) {
		size_t n = 1 + next_random() % 4;

		wire_feed(&wire, view_first(file, n), sent);
		file = view_from(file, n);
	}
	if (!wire.done)
		wire_end(&wire, sent);
	return wire.octets;
}

static void test_any_file_is_sent_as_the_model_sends_it(void **s)
{
	static const char alphabet[] = "\r\n\n.a\n\r\n";

	(void)s;
	for (int round = 0; round < 200000; round++) {
		char bytes[24];
		struct view file =
			view_make(bytes, next_random() % sizeof(bytes));
		uint64_t lines = round % 2 ? WIRE_ALL : next_random() % 4;
		struct str want = { 0 };
		struct str got = { 0 };

		for (size_t i = 0; i < file.len; i++)
			bytes[i] = alphabet[next_random() %
					    (sizeof(alphabet) - 1)];
		assert_int_equal(send_pieces(file, lines, &got),
				 model(file, lines, &want));
		assert_true(view_eq(str_view(&got), str_view(&want)));
		assert_int_equal(send_pieces(file, lines, NULL),
				 model(file, lines, &want));
		str_free(&got);
		str_free(&want);
	}
}

static void test_files_are_sent_as_listed(void **s)
{
	static const struct {
		const char *file;
		const char *sent;
		uint64_t octets;
	} cases[] = {
		{ "", "", 0 },
		{ "a", "a\r\n", 3 },
		{ "a\n", "a\r\n", 3 },
		{ "a\r\n", "a\r\n", 3 },
		{ "a\r", "a\r\r\n", 4 },
		{ "\n", "\r\n", 2 },
		{ ".\n..\n", "..\r\n...\r\n", 7 },
		{ "a\n\n.b", "a\r\n\r\n..b\r\n", 9 },
	};

	(void)s;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct str got = { 0 };
		uint64_t octets =
			send_pieces(view_of(cases[i].file), WIRE_ALL, &got);

		if (octets != cases[i].octets ||
		    !view_eq(str_view(&got), view_of(cases[i].sent)))
			fail_msg("%zu: %s", i, cases[i].file);
		str_free(&got);
	}
}

static void test_octets_are_read_from_a_name_that_has_them(void **s)
{
	uint64_t octets;

	(void)s;
	assert_true(maildrop_name_octets(VIEW("1.M2P3.h,S=5,W=7"), &octets));
	assert_int_equal(octets, 7);
	assert_true(maildrop_name_octets(VIEW("1.h,W=8,S=5"), &octets));
	assert_int_equal(octets, 8);
	assert_false(maildrop_name_octets(VIEW("1.h,S=5"), &octets));
	assert_false(maildrop_name_octets(VIEW("1.h,W=x"), &octets));
	assert_false(maildrop_name_octets(VIEW("1.h,W="), &octets));
	assert_false(maildrop_name_octets(VIEW("W=5"), &octets));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_file_is_sent_as_the_model_sends_it),
		cmocka_unit_test(test_files_are_sent_as_listed),
		cmocka_unit_test(
			test_octets_are_read_from_a_name_that_has_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
