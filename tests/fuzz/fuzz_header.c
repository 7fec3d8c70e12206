/*
 * Headers: the fields and what follows them are the message, in order;
 * unfolded values hold no line end and never more than was there.
 */
#include <assert.h>

#include "lib/header.h"
#include "tests/fuzz/fuzz.h"

static void check_field(const struct header_field *field)
{
	struct str value = { 0 };

	assert(field->name.len);
	assert(view_starts(field->whole, field->name));
	assert(view_ends(field->whole, field->value));
	assert(header_is(field, field->name));
	str_set_c(&value, "x");
	header_unfold(&value, field->value);
	assert(value.p[0] == 'x' && value.len <= field->value.len + 1);
	assert(!view_has(str_view(&value), '\n'));
	str_free(&value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view message = view_make(data, size);
	struct view rest = message;
	struct view body = header_body(message);
	struct header_field field;
	size_t bytes = 0;

	while (header_next(&rest, &field)) {
		assert(field.whole.p == message.p + bytes);
		bytes += field.whole.len;
		check_field(&field);
	}
	assert(bytes + rest.len == size);
	assert(view_ends(message, body) && rest.len - body.len <= 2);
	return 0;
}
