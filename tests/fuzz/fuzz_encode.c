/*
 * Messages on their way to SMTP, in pieces whose length the first byte says:
 * the wire has no CR or LF alone, dots are doubled, it ends once, and what
 * the receiver makes of it is the message again.
 */
#include <assert.h>

#include "remote/encode.h"
#include "tests/fuzz/fuzz.h"

static void encode_pieces(struct view message, size_t piece, struct str *wire)
{
	struct encode e = { 0 };
	size_t dots = 0;

	for (; message.len; message = view_from(message, piece))
		encode_put(&e, view_first(message, piece), wire);
	encode_end(&e, wire);
	for (size_t i = 0; i + 1 < wire->len; i++)
		dots += (i == 0 || wire->p[i - 1] == '\n') &&
			wire->p[i] == '.' && wire->p[i + 1] == '.';
	assert(e.bytes + dots + 3 == wire->len);
}

/* Undo the wire, line by line; *end counts lone dots. */
static void decode(struct view wire, struct str *message, size_t *ends)
{
	while (wire.len) {
		size_t at = view_find(wire, '\n');
		struct view line = view_first(wire, at);

		assert(at < wire.len && at && wire.p[at - 1] == '\r');
		line.len--;
		assert(!view_has(line, '\r'));
		wire = view_from(wire, at + 1);
		if (view_eq(line, VIEW("."))) {
			++*ends;
			continue;
		}
		if (view_starts(line, VIEW("."))) {
			assert(view_starts(line, VIEW("..")));
			line = view_from(line, 1);
		}
		str_append(message, line);
		str_append_byte(message, '\n');
	}
}

/* The message as it should arrive: CRLF is LF, other CRs are blanks. */
static void normalize(struct view message, struct str *to)
{
	for (size_t i = 0; i < message.len; i++) {
		if (message.p[i] != '\r')
			str_append_byte(to, message.p[i]);
		else if (i + 1 == message.len || message.p[i + 1] != '\n')
			str_append_byte(to, ' ');
	}
	if (to->len && to->p[to->len - 1] != '\n')
		str_append_byte(to, '\n');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view message;
	struct str wire = { 0 };
	struct str back = { 0 };
	struct str want = { 0 };
	size_t ends = 0;

	if (size == 0)
		return 0;
	message = view_make(data + 1, size - 1);
	encode_pieces(message, (size_t)data[0] + 1, &wire);
	assert(view_ends(str_view(&wire), VIEW(".\r\n")));
	decode(str_view(&wire), &back, &ends);
	assert(ends == 1);
	normalize(message, &want);
	assert(view_eq(str_view(&back), str_view(&want)));
	str_free(&wire);
	str_free(&back);
	str_free(&want);
	return 0;
}
