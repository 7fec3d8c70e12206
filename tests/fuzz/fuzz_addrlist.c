/*
 * Address lists: places lie in the text and in order, addresses hold no
 * control bytes, and a header made by qmail-inject's rules is understood
 * again, with the same addresses.
 */
#include "tests/fuzz/fuzz.h"

#include <assert.h>

#include "lib/addrlist.h"
#include "tools/inject/compose.h"

static void check_places(struct view text)
{
	struct addrlist list = { .text = text };
	struct addrlist_item item = { 0 };
	size_t last = 0;

	while (addrlist_next(&list, &item) == ADDRLIST_ADDRESS) {
		assert(item.start >= last && item.end >= item.start &&
		       item.end <= text.len);
		assert(item.comma_at == ADDRLIST_NOWHERE ||
		       (item.comma_at >= last && item.comma_at <= item.start));
		for (size_t i = 0; i < item.address.len; i++)
			assert((unsigned char)item.address.p[i] >= ' ');
		last = item.end;
	}
	addrlist_item_free(&item);
}

/* A `To` field with this value through the composer; false if it is bad. */
static bool compose(struct compose *c, const struct config *config,
		    struct view value, struct str *field)
{
	struct str header = { 0 };
	bool sound;

	*c = (struct compose){ .config = config };
	str_append_c(&header, "To:");
	for (size_t i = 0; i < value.len; i++)
		if (value.p[i] != '\n' && value.p[i] != '\r')
			str_append_byte(&header, value.p[i]);
	str_append_byte(&header, '\n');
	sound = compose_header(c, str_view(&header));
	if (sound)
		str_set(field, view_from(str_view(&c->fields), 3));
	str_free(&header);
	return sound;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view text = view_make(data, size);
	struct config config = { 0 };
	struct compose once;
	struct compose twice;
	struct str field = { 0 };
	struct str again = { 0 };

	str_set_c(&config.default_host, "h.example");
	str_set_c(&config.default_domain, "example");
	str_set_c(&config.plus_domain, "plus.example");
	check_places(text);
	if (compose(&once, &config, text, &field)) {
		assert(compose(&twice, &config, str_view(&field), &again));
		assert(view_eq(str_view(&once.recipients),
			       str_view(&twice.recipients)));
		compose_free(&twice);
	}
	compose_free(&once);
	config_free(&config);
	str_free(&field);
	str_free(&again);
	return 0;
}
