/*
 * Lines of users/assign: what is taken must come out of users/cdb again as
 * six fields. The whole input is tried as a record, too.
 */
#include <assert.h>

#include "lspawn/assign.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view rest = view_make(data, size);
	struct str key = { 0 };
	struct str value = { 0 };
	struct str ends = { 0 };
	struct assign who;

	if (assign_parse(rest, &who))
		assert(who.uid != UINT32_MAX && who.gid != UINT32_MAX);
	while (rest.p) {
		struct view line = view_cut(&rest, '\n');
		size_t nuls = 0;

		if (!assign_line(line, &key, &value, &ends))
			continue;
		for (size_t i = 0; i < value.len; i++)
			nuls += value.p[i] == '\0';
		assert(nuls == 5);
		assert(key.len && key.p[0] == '!');
	}
	assert(ends.len <= 256);
	str_free(&key);
	str_free(&value);
	str_free(&ends);
	return 0;
}
