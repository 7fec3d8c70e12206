/*
 * The scanner of DATA against the same rules written naively, over the
 * bytes that matter, cut into chunks in every way that random finds.
 */
#include "smtpd/data.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char alphabet[] = { '\r', '\n', '.', '\0', 'a', '\r', '\n', '.' };

/* ---- the naive model ---- */

struct model {
	size_t used; /* with the end; 0 when there is none */
	unsigned faults;
	struct str text;
};

static bool at_end(const char *all, size_t i)
{
	return memcmp(all + i, "\r\n.\r\n", 5) == 0;
}

/* What `all` (a CRLF, then what followed DATA) means. */
static struct model model_read(const char *all, size_t len)
{
	struct model m = { 0 };
	size_t end;

	for (end = 0; end + 5 <= len; end++)
		if (at_end(all, end))
			break;
	if (end + 5 > len)
		return m;
	m.used = end + 5 - 2;
	for (size_t i = 0; i < end + 2; i++) {
		if (all[i] == '\n' && (i == 0 || all[i - 1] != '\r'))
			m.faults |= DATA_BARE_LF;
		if (all[i] == '\r' && all[i + 1] != '\n')
			m.faults |= DATA_BARE_CR;
		if (all[i] == '\0')
			m.faults |= DATA_NUL;
	}
	for (size_t i = 2; i < end + 2 && !m.faults; i++) {
		if (all[i] == '.' && all[i - 1] == '\n')
			continue;
		if (all[i] != '\r')
			str_append_byte(&m.text, all[i]);
	}
	return m;
}

/* ---- claims ---- */

static uint32_t seed = 1;

static uint32_t next_random(void)
{
	seed = seed * 1664525 + 1013904223;
	return seed >> 8;
}

/* Scan in pieces of random sizes; returns how much was taken. */
static size_t scan_pieces(struct data *data, struct view all, struct str *text)
{
	size_t at = 0;

	data_init(data);
	while (at < all.len && !data_done(data)) {
		size_t n = 1 + next_random() % 4;
		struct view piece = view_first(view_from(all, at), n);
		size_t used = data_scan(data, piece, text);

		assert_true(used == piece.len || data_done(data));
		at += used;
	}
	return at;
}

static void check_against_model(const char *all, size_t len)
{
	struct model m = model_read(all, len);
	struct view input = view_make(all + 2, len - 2);
	struct str text = { 0 };
	struct data data;
	size_t used = scan_pieces(&data, input, &text);

	assert_int_equal(data_done(&data), m.used > 0);
	if (m.used) {
		assert_int_equal(used, m.used);
		assert_int_equal(data.faults, m.faults);
	}
	if (m.used && !m.faults)
		assert_true(view_eq(str_view(&text), str_view(&m.text)));
	str_free(&text);
	str_free(&m.text);
}

static void test_any_bytes_in_any_pieces_read_as_the_model_reads_them(void **s)
{
	(void)s;
	for (int round = 0; round < 200000; round++) {
		char all[64] = "\r\n";
		size_t len = 2 + next_random() % 24;

		for (size_t i = 2; i < len; i++)
			all[i] = alphabet[next_random() % sizeof(alphabet)];
		/* Half of them end well. */
		if (round % 2) {
			memcpy(all + len, "\r\n.\r\n", 5);
			len += 5;
		}
		check_against_model(all, len);
	}
}

struct example {
	const char *label;
	struct view input;
	bool done;
	unsigned faults;
	struct view text;
};

static const struct example examples[] = {
	{ "empty message", { ".\r\n", 3 }, true, 0, { "", 0 } },
	{ "one line", { "a\r\n.\r\n", 6 }, true, 0, { "a\n", 2 } },
	{ "doubled dot", { "..a\r\n.\r\n", 8 }, true, 0, { ".a\n", 3 } },
	{ "two dots", { "..\r\n.\r\n", 7 }, true, 0, { ".\n", 2 } },
	{ "single dot dropped", { ".a\r\n.\r\n", 7 }, true, 0, { "a\n", 2 } },
	{ "empty line", { "\r\n.\r\n", 5 }, true, 0, { "\n", 1 } },
	{ "SM1", { "a\n.\nb\r\n.\r\n", 10 }, true, DATA_BARE_LF, { "", 0 } },
	{ "SM2", { "a\n.\r\nb\r\n.\r\n", 11 }, true, DATA_BARE_LF, { "", 0 } },
	{ "SM3", { "a\r\n.\nb\r\n.\r\n", 11 }, true, DATA_BARE_LF, { "", 0 } },
	{ "SM4 a",
	  { "a\r.\r\nb\r\n.\r\n", 11 },
	  true,
	  DATA_BARE_CR,
	  { "", 0 } },
	{ "SM4 b", { "a\r.\rb\r\n.\r\n", 10 }, true, DATA_BARE_CR, { "", 0 } },
	{ "SM4 c",
	  { "a\n.\rb\r\n.\r\n", 10 },
	  true,
	  DATA_BARE_CR | DATA_BARE_LF,
	  { "", 0 } },
	{ "SM4 d",
	  { "a\r.\nb\r\n.\r\n", 10 },
	  true,
	  DATA_BARE_CR | DATA_BARE_LF,
	  { "", 0 } },
	{ "SM5 is not the end", { "a\r\n.\r\r\n", 7 }, false, 0, { "", 0 } },
	{ "SM6 is the end",
	  { "a\r\r\n.\r\n", 7 },
	  true,
	  DATA_BARE_CR,
	  { "", 0 } },
	{ "SM7 a", { "a\r\n\0.\r\n", 7 }, false, 0, { "", 0 } },
	{ "SM7 b", { "a\r\n.\0\r\n", 7 }, false, 0, { "", 0 } },
	{ "SM7 c", { "a\r\n.\0\r\n.\r\n", 10 }, true, DATA_NUL, { "", 0 } },
};

static void test_examples_read_as_listed(void **s)
{
	(void)s;
	for (size_t i = 0; i < COUNT_OF(examples); i++) {
		const struct example *e = &examples[i];
		struct str text = { 0 };
		struct data data;

		scan_pieces(&data, e->input, &text);
		if (data_done(&data) != e->done)
			fail_msg("%s: done", e->label);
		if (e->done && data.faults != e->faults)
			fail_msg("%s: faults %u", e->label, data.faults);
		if (e->done && !e->faults && !view_eq(str_view(&text), e->text))
			fail_msg("%s: text", e->label);
		str_free(&text);
	}
}

static void test_what_follows_the_end_is_left_alone(void **s)
{
	struct view input = VIEW("a\r\n.\r\nQUIT\r\n");
	struct str text = { 0 };
	struct data data;

	(void)s;
	data_init(&data);
	assert_int_equal(data_scan(&data, input, &text), 6);
	assert_true(data_done(&data));
	assert_int_equal(data_scan(&data, view_from(input, 6), &text), 0);
	str_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_any_bytes_in_any_pieces_read_as_the_model_reads_them),
		cmocka_unit_test(test_examples_read_as_listed),
		cmocka_unit_test(test_what_follows_the_end_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
