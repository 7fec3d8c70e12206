#ifndef TOOLS_UCSPI_FRONTS_H
#define TOOLS_UCSPI_FRONTS_H

/*
 * Connections from the proxies in front of us (-F), from accept(2) until the
 * header of each has come: tcpserver keeps the connection, and an announcer
 * reads (tools/ucspi/announcer.h).
 *
 *	fronts_add(&fronts, &caller)            caller.fd is ours now
 *	fronts_prepare(&fronts, &polls);        before polls_wait()
 *	while (fronts_next(&fronts, &polls, &caller))
 *		...serve it; caller.fd is yours
 */

#include "lib/polls.h"
#include "tools/ucspi/announcer.h"

struct front {
	struct caller caller;
	int fd;         /* of its announcer */
	size_t poll_no; /* FRONT_NEW before the next wait */
};

struct fronts {
	struct announcer announcer;
	struct front *list; /* the first `count` are in use */
	size_t count;
	size_t room;
};

void fronts_init(struct fronts *fronts, const struct options *o);
/* -1 with errno; then the connection is still the caller's. */
int fronts_add(struct fronts *fronts, const struct caller *caller) MUST_USE;
void fronts_prepare(struct fronts *fronts, struct polls *polls);
/* The next one whose client is known. Those that have none are dropped. */
bool fronts_next(struct fronts *fronts, const struct polls *polls,
		 struct caller *caller);

#endif
