/*
 * Control files that are lists: entries are never empty, never comments,
 * hold no NUL or line end, and are trimmed. And what takes numbers.
 */
#include <assert.h>

#include "lib/control.h"
#include "tests/fuzz/fuzz.h"

static void check_entry(struct view entry)
{
	assert(entry.len && entry.p[0] != '#');
	assert(!view_has(entry, '\0') && !view_has(entry, '\n'));
	assert(view_trim_end(entry).len == entry.len);
}

static void check_numbers(struct view text)
{
	struct str again = { 0 };
	uint64_t number;

	while (text.len > 1 && text.p[0] == '0')
		text = view_from(text, 1);
	if (view_u64(text, &number)) {
		str_append_u64(&again, number);
		assert(view_eq(str_view(&again), text));
	}
	if (view_hex64(text, &number)) {
		str_reset(&again);
		str_append_hex64(&again, number);
		assert(view_ends_nocase(str_view(&again), text) ||
		       text.len > 16);
	}
	if (view_octal(text, &number))
		assert(view_u64(text, &number) || text.len > 19);
	str_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct control_list list = { 0 };
	struct view rest;
	struct view entry;
	size_t bytes = 0;

	control_list_parse(&list, view_make(data, size));
	for (rest = control_list_start(&list);
	     control_list_next(&rest, &entry);) {
		check_entry(entry);
		check_numbers(entry);
		bytes += entry.len + 1;
	}
	assert(bytes == list.entries.len && bytes <= size + 1);
	control_list_free(&list);
	return 0;
}
