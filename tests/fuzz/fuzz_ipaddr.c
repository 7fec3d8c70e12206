/* IP addresses: what parses has one text, and sockets give it back. */
#include <assert.h>

#include "lib/ipaddr.h"
#include "tests/fuzz/fuzz.h"

static bool same(const struct ipaddr *a, const struct ipaddr *b)
{
	return a->v6 == b->v6 &&
	       memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static void check(struct ipaddr *ip)
{
	struct sockaddr_storage address;
	struct str text = { 0 };
	struct ipaddr again;
	unsigned port;

	ipaddr_format(&text, ip);
	assert(ipaddr_parse(str_view(&text), &again) && same(ip, &again));
	assert(ipaddr_to_socket(ip, 25, &address) > 0);
	assert(ipaddr_from_socket((struct sockaddr *)&address, &again, &port));
	assert(same(ip, &again) && port == 25);
	str_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view text = view_make(data, size);
	struct ipaddr ip;

	if (!ipaddr_parse(text, &ip))
		return 0;
	check(&ip);
	ipaddr_mask(&ip, data[0] % (ipaddr_bits(&ip) + 1));
	check(&ip);
	return 0;
}
