/*
 * .qmail files, and the names they are looked up by: the first byte's lowest
 * bit chooses. Lines hold no NUL and no LF; no name leaves the home.
 */
#include <assert.h>

#include "local/dotqmail.h"
#include "tests/fuzz/fuzz.h"

static void check_lines(struct view content)
{
	struct dotqmail lines;
	struct dotqmail_line line;
	size_t number = 0;

	dotqmail_init(&lines, content);
	while (dotqmail_next(&lines, &line)) {
		assert(line.number == ++number);
		assert(!view_has(line.text, '\0'));
		assert(!view_has(line.text, '\n'));
		if (line.kind == DOTQMAIL_MAILDIR)
			assert(view_ends(line.text, VIEW("/")));
		assert((line.kind == DOTQMAIL_BLANK) <= (line.text.len == 0));
	}
	assert(number > 0);
}

static void check_names(struct view ext)
{
	struct str name = { 0 };
	size_t state = 0;
	size_t matched;
	size_t count = 0;

	while (dotqmail_name(VIEW("-"), ext, &state, &name, &matched)) {
		count++;
		assert(view_starts(str_view(&name), VIEW(".qmail-")));
		assert(!view_has(view_from(str_view(&name), 1), '.'));
		assert(matched == SIZE_MAX || matched <= ext.len);
	}
	assert(count >= 2 && count <= ext.len + 2);
	str_free(&name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] & 1)
		check_names(view_make(data + 1, size - 1));
	else
		check_lines(view_make(data + 1, size - 1));
	return 0;
}
