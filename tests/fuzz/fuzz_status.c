/* supervise/status, which any supervise may have written: all bytes are one. */
#include <assert.h>

#include "tests/fuzz/fuzz.h"
#include "tools/daemontools/service.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char from[SERVICE_STATUS_BYTES] = { 0 };
	char again[SERVICE_STATUS_BYTES];
	struct service_status status;
	struct service_status back;

	memcpy(from, data, size < sizeof(from) ? size : sizeof(from));
	status = service_unpack(from);
	service_pack(again, &status);
	back = service_unpack(again);
	assert(back.pid == status.pid && back.paused == status.paused &&
	       back.want == status.want);
	assert(memcmp(from, again, TAI_PACK_BYTES + 4) == 0);
	return 0;
}
