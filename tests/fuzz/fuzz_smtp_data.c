/*
 * Any bytes behind DATA: cut in two anywhere, they must read the same as in
 * one piece, and never end elsewhere than at CRLF.CRLF.
 */
#include <assert.h>

#include "smtpd/data.h"
#include "smtpd/hops.h"
#include "tests/fuzz/fuzz.h"

static void scan(struct view input, size_t cut, struct data *data, size_t *used,
		 struct str *text)
{
	data_init(data);
	*used = data_scan(data, view_first(input, cut), text);
	if (!data_done(data)) {
		assert(*used == cut);
		*used += data_scan(data, view_from(input, cut), text);
	}
}

static void check_end(struct view input, size_t used)
{
	assert(used >= 3 && memcmp(input.p + used - 3, ".\r\n", 3) == 0);
	assert(used == 3 || (used >= 5 && input.p[used - 5] == '\r' &&
			     input.p[used - 4] == '\n'));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct view input;
	struct str text[2] = { 0 };
	struct data data[2];
	struct hops hops;
	size_t used[2];

	if (size == 0)
		return 0;
	input = view_make(bytes + 1, size - 1);
	scan(input, input.len, &data[0], &used[0], &text[0]);
	scan(input, input.len ? bytes[0] % (input.len + 1) : 0, &data[1],
	     &used[1], &text[1]);
	assert(used[0] == used[1] && data[0].state == data[1].state);
	assert(data[0].faults == data[1].faults);
	if (!data[0].faults)
		assert(view_eq(str_view(&text[0]), str_view(&text[1])));
	if (data_done(&data[0]))
		check_end(input, used[0]);
	hops_init(&hops);
	hops_feed(&hops, str_view(&text[0]));
	str_free(&text[0]);
	str_free(&text[1]);
	return 0;
}
