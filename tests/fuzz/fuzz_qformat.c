/* queue/format: whatever it holds, what is taken makes sense. */
#include <assert.h>

#include "lib/qformat.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct qformat format;
	struct str path = { 0 };

	if (qformat_parse(view_make(data, size), &format) == QFORMAT_OK) {
		assert(format.split > 0);
		assert(strlen(format.identity) == QFORMAT_IDENTITY_BYTES);
		qformat_path(&format, &path, "new", UINT64_MAX);
		assert(path.len < 64);
	}
	str_free(&path);
	return 0;
}
