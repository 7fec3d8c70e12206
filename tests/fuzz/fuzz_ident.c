/* What a stranger's ident server says becomes plain text of bounded length. */
#include <assert.h>

#include "tests/fuzz/fuzz.h"
#include "tools/ucspi/ident.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str info = { 0 };

	if (ident_parse(view_make(data, size), &info))
		assert(info.len > 0);
	assert(info.len <= IDENT_MAX_BYTES);
	for (size_t i = 0; i < info.len; i++)
		assert((unsigned char)str_c(&info)[i] >= ' ' &&
		       str_c(&info)[i] != 127);
	str_free(&info);
	return 0;
}
