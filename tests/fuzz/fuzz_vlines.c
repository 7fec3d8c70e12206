/*
 * Files of lines that vpopmail's commands change: what is added is there once,
 * what is removed is gone, and no other line is touched.
 */
#include <assert.h>

#include "tests/fuzz/fuzz.h"
#include "tools/vpopmail/vlines.h"

/* The first line is what is added and removed, the others are the file. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view rest = view_make(data, size);
	struct view line = view_trim_end(view_cut(&rest, '\n'));
	struct vlines lines = { .dirfd = -1, .lock = -1 };
	size_t before;

	str_append(&lines.text, rest);
	if (lines.text.len && !view_ends(rest, VIEW("\n")))
		str_append_byte(&lines.text, '\n');
	if (line.len && !view_has(line, '\0')) {
		vlines_remove(&lines, line, false);
		assert(!vlines_has(&lines, line));
		before = vlines_count(&lines);
		vlines_add(&lines, line);
		vlines_add(&lines, line);
		assert(vlines_has(&lines, line));
		assert(vlines_count(&lines) == before + 1);
		vlines_add_sorted(&lines, line);
		assert(vlines_has(&lines, line));
		vlines_remove(&lines, line, true);
		assert(!vlines_has(&lines, line));
		assert(vlines_count(&lines) <= before);
	}
	str_free(&lines.text);
	return 0;
}
