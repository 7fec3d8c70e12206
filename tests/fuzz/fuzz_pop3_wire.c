/*
 * Any file as POP3 sends it: no line that a client could take for the end,
 * as many octets as counted, the same whether it comes in one piece or two.
 */
#include <assert.h>

#include "popd/maildrop.h"
#include "popd/wire.h"
#include "tests/fuzz/fuzz.h"

static uint64_t convert(struct view file, size_t cut, uint64_t lines,
			struct str *to)
{
	struct wire wire;

	wire_init(&wire, lines);
	wire_feed(&wire, view_first(file, cut), to);
	wire_feed(&wire, view_from(file, cut), to);
	if (!wire.done)
		wire_end(&wire, to);
	return wire.octets;
}

static size_t check_lines(struct view sent)
{
	size_t doubled = 0;

	while (sent.len) {
		size_t lf = view_find(sent, '\n');

		assert(lf > 0 && lf < sent.len && sent.p[lf - 1] == '\r');
		if (sent.p[0] == '.') {
			assert(sent.p[1] == '.');
			doubled++;
		}
		sent = view_from(sent, lf + 1);
	}
	return doubled;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct view file;
	struct str one = { 0 };
	struct str two = { 0 };
	uint64_t octets;
	uint64_t lines;

	if (size < 2)
		return 0;
	file = view_make(bytes + 2, size - 2);
	lines = bytes[0] < 128 ? bytes[0] : WIRE_ALL;
	octets = convert(file, file.len, lines, &one);
	assert(octets == convert(file, bytes[1] % (file.len + 1), lines, &two));
	assert(octets == convert(file, 0, lines, NULL));
	assert(view_eq(str_view(&one), str_view(&two)));
	assert(octets + check_lines(str_view(&one)) == one.len);
	if (maildrop_name_octets(file, &octets))
		assert(view_has(file, '='));
	str_free(&one);
	str_free(&two);
	return 0;
}
