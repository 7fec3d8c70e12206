/*
 * control/smtproutes: the first line is the host that is looked up, the rest
 * the file; the rest is tried as /etc/hosts, too.
 */
#include <assert.h>

#include "lib/route.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view text = view_make(data, size);
	struct view host = view_cut(&text, '\n');
	struct control_list routes = { 0 };
	struct ipaddr ips[4];
	struct route route;

	control_list_parse(&routes, text);
	if (route_find(&routes, host, &route)) {
		assert(route.port >= 1 && route.port <= 65535);
		if (route_literal(route.relay, &ips[0]))
			assert(route.relay.len > 2);
	}
	assert(route_hosts(text, host, ips, COUNT_OF(ips)) <= COUNT_OF(ips));
	control_list_free(&routes);
	return 0;
}
