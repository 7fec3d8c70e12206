/*
 * recordio's lines: none is too long for one write, and together they hold
 * the bytes that they are about.
 */
#include <assert.h>

#include "tests/fuzz/fuzz.h"
#include "tools/ucspi/transcript.h"

/* One line of ours, its newline cut off, back into bytes. */
static void read_back(struct str *to, struct view line)
{
	static const struct view begin = { "4711 < ", 7 };
	char last;

	assert(view_starts(line, begin) && line.len > begin.len);
	last = line.p[line.len - 1];
	line = view_from(line, begin.len);
	assert(!view_has(line, '\n'));
	str_append(to, view_first(line, line.len - 1));
	assert(last == ' ' || last == '+');
	if (last == ' ')
		str_append_byte(to, '\n');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view bytes = view_make(data, size);
	struct str again = { 0 };
	struct str line = { 0 };
	size_t at = 0;

	while (bytes.len) {
		size_t before = bytes.len;

		str_reset(&line);
		transcript_next(&line, 4711, '<', &bytes, &at);
		assert(bytes.len < before && at == size - bytes.len);
		assert(line.len <= TRANSCRIPT_LINE_BYTES);
		assert(view_ends(str_view(&line), VIEW("\n")));
		str_truncate(&line, line.len - 1);
		read_back(&again, str_view(&line));
	}
	assert(view_eq(str_view(&again), view_make(data, size)));
	str_free(&again);
	str_free(&line);
	return 0;
}
