/* PROXY headers: the same whole and in pieces, and never longer than given. */
#include <assert.h>

#include "tests/fuzz/fuzz.h"
#include "tools/ucspi/proxy.h"

static bool same(const struct proxy_header *a, const struct proxy_header *b)
{
	return a->length == b->length && a->is_announced == b->is_announced &&
	       ipaddr_same(&a->remote_ip, &b->remote_ip) &&
	       ipaddr_same(&a->local_ip, &b->local_ip) &&
	       a->remote_port == b->remote_port &&
	       a->local_port == b->local_port;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view bytes = view_make(data, size);
	enum proxy_result result = PROXY_MORE;
	enum proxy_result whole;
	struct proxy_header header = { 0 };
	struct proxy_header part = { 0 };
	size_t end = 0;

	whole = proxy_parse(bytes, &header);
	/* As it comes, byte by byte, until something is decided. */
	while (result == PROXY_MORE && end <= size)
		result = proxy_parse(view_first(bytes, end++), &part);
	assert(result == whole);
	switch (whole) {
	case PROXY_OK:
		assert(header.length > 0 && header.length <= size);
		assert(header.length == end - 1 && same(&header, &part));
		assert(header.length <= PROXY_MAX_BYTES);
		assert(header.remote_port <= 65535 &&
		       header.local_port <= 65535);
		assert(proxy_begins(bytes));
		break;
	case PROXY_MORE:
		assert(size < PROXY_MAX_BYTES);
		break;
	case PROXY_BAD:
		break;
	}
	return 0;
}
