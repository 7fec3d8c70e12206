/*
 * Paths of MAIL and RCPT. The first byte's lowest bit says lenient. What
 * parses must hold no control byte, must survive quoting and parsing again,
 * and its rest must lie in the text.
 */
#include <assert.h>

#include "lib/address.h"
#include "tests/fuzz/fuzz.h"

static void check_round_trip(struct view address)
{
	struct str quoted = { 0 };
	struct str again = { 0 };
	struct view rest;

	str_append_byte(&quoted, '<');
	address_quote(&quoted, address);
	str_append_byte(&quoted, '>');
	assert(address_parse_path(str_view(&quoted), false, &again, &rest) ==
	       ADDRESS_OK);
	assert(view_eq(str_view(&again), address));
	assert(rest.len == 0);
	assert(address_eq(str_view(&again), address));
	str_free(&quoted);
	str_free(&again);
}

static void check_address(struct view address)
{
	assert(address.len <= ADDRESS_MAX_BYTES);
	for (size_t i = 0; i < address.len; i++)
		assert((unsigned char)address.p[i] >= 32 &&
		       address.p[i] != 127);
	if (view_has(address, '@')) {
		assert(address_domain(address).len);
		assert(address_local(address).len +
			       address_domain(address).len + 1 ==
		       address.len);
	}
	(void)address_is_literal(address_domain(address));
	check_round_trip(address);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view text = view_make(data, size);
	struct str address = { 0 };
	struct str quoted = { 0 };
	struct view rest;
	bool lenient;

	if (size == 0)
		return 0;
	lenient = data[0] & 1;
	text = view_from(text, 1);
	if (address_parse_path(text, lenient, &address, &rest) == ADDRESS_OK) {
		check_address(str_view(&address));
		assert(rest.len < text.len ||
		       text.len == rest.len + address.len);
		assert(view_ends(text, rest));
	} else {
		assert(address.len == 0 && rest.len == 0);
	}
	if (utf8_valid(text) && address_is_ascii(text))
		assert(text.len == 0 || !(text.p[0] & 0x80));
	(void)address_is_literal(text);
	/* Any bytes at all may be quoted, and stay on one line. */
	address_quote(&quoted, text);
	assert(!view_has(str_view(&quoted), '\n'));
	assert(!view_has(str_view(&quoted), '\0'));
	str_free(&quoted);
	str_free(&address);
	return 0;
}
