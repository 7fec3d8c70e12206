/*
 * Records: those that are read, written again, are the bytes they came from;
 * what is left after damage is untouched.
 */
#include <assert.h>

#include "lib/record.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view all = view_make(data, size);
	struct view rest = all;
	struct str again = { 0 };
	enum record_result result;
	struct record record;

	while ((result = record_next(&rest, &record)) == RECORD_OK) {
		uint64_t number;

		if (record_u64(&record, &number)) {
			assert(record.value.len == 8);
			record_append_u64(&again, record.type, number);
		} else {
			record_append(&again, record.type, record.value);
		}
	}
	assert(view_eq(str_view(&again), view_first(all, again.len)));
	assert(again.len + rest.len == size);
	assert((result == RECORD_END) == (rest.len == 0));
	str_free(&again);
	return 0;
}
