/* Descriptor 3 of a checkpassword program: three strings or nothing. */
#include <assert.h>

#include "auth/credentials.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view text = view_make(data, size);
	struct credentials c = { 0 };

	if (!credentials_parse(text, &c))
		return 0;
	assert(c.user.len + c.password.len + c.challenge.len + 2 <= size);
	assert(!view_has(c.user, '\0') && !view_has(c.password, '\0') &&
	       !view_has(c.challenge, '\0'));
	return 0;
}
