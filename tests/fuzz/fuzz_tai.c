/*
 * TAI64N labels: what parses, formatted again, is what was there. The first
 * bytes also serve as a packed label and as a moment for the dates.
 */
#include <assert.h>

#include "lib/date.h"
#include "lib/tai.h"
#include "tests/fuzz/fuzz.h"

static void check_label(struct view text)
{
	struct str again = { 0 };
	struct tai tai;

	if (!tai_parse(text, &tai))
		return;
	tai_format(&again, tai);
	assert(again.len == TAI_LABEL_BYTES);
	assert(view_starts(text, str_view(&again)));
	str_free(&again);
}

static void check_packed(const char *bytes)
{
	char again[TAI_PACK_BYTES];
	struct tai tai = tai_unpack(bytes);
	struct str text = { 0 };
	struct tai back;

	tai_pack(again, tai);
	assert(memcmp(bytes, again, sizeof(again)) == 0);
	back = tai_from_unix(tai_to_unix(tai), tai.nanos);
	assert(back.seconds == tai.seconds);
	date_format(&text, tai_to_unix(tai));
	date_format_weekday(&text, (int64_t)tai.seconds);
	date_format_ctime(&text, tai_to_unix(tai));
	assert(text.len < 200);
	str_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view text = view_make(data, size);

	check_label(text);
	if (size >= TAI_PACK_BYTES)
		check_packed(text.p);
	return 0;
}
