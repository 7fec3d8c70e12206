/*
 * qmail-queue's envelope: whole and byte by byte it must mean the same, and
 * what is taken, written out again, must be the input.
 */
#include <assert.h>

#include "lib/qfile.h"
#include "queue/envelope.h"
#include "tests/fuzz/fuzz.h"

/* Rebuild the input from the steps; false when it is over. */
static bool follow(struct str *again, enum envelope_step *last,
		   struct envelope *e, struct view input)
{
	while ((*last = envelope_next(e, &input)) != ENVELOPE_MORE) {
		assert(e->address.len <= QFILE_ADDRESS_MAX);
		if (*last != ENVELOPE_SENDER && *last != ENVELOPE_RECIPIENT)
			return false;
		str_append_byte(again, *last == ENVELOPE_SENDER ? 'F' : 'T');
		str_append(again, str_view(&e->address));
		str_append_byte(again, '\0');
	}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view input = view_make(data, size);
	struct envelope whole = { 0 };
	struct envelope pieces = { 0 };
	struct str first = { 0 };
	struct str second = { 0 };
	enum envelope_step last = ENVELOPE_MORE;
	enum envelope_step last_piece = ENVELOPE_MORE;

	follow(&first, &last, &whole, input);
	for (size_t i = 0; i < size; i++)
		if (!follow(&second, &last_piece, &pieces,
			    view_make(data + i, 1)))
			break;
	assert(last == last_piece);
	assert(view_eq(str_view(&first), str_view(&second)));
	assert(view_starts(input, str_view(&first)));
	if (last == ENVELOPE_END) {
		assert(input.p[first.len] == '\0');
		assert(view_has(str_view(&first), 'T'));
	}
	str_free(&first);
	str_free(&second);
	envelope_free(&whole);
	envelope_free(&pieces);
	return 0;
}
