/* supervise/death: numbers stay small, and what is unknown says nothing. */
#include <assert.h>

#include "tests/fuzz/fuzz.h"
#include "tools/daemontools/death.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct death death = death_parse(view_make(data, size));

	assert(death.kind == DEATH_UNKNOWN || death.number <= 255);
	return 0;
}
