#ifndef TOOLS_UCSPI_ANNOUNCER_H
#define TOOLS_UCSPI_ANNOUNCER_H

/*
 * A process that reads the PROXY header of one connection, and tells
 * tcpserver what it says: tcpserver must not wait for it, and as root it
 * should not read it.
 *
 *	fd = announcer_start(&announcer, &caller);
 *	...once fd is readable...
 *	if (announcer_finish(fd, &caller))    closes fd
 *		...caller is the client now
 *
 * It has nothing but the connection and the log, is nobody where tcpserver
 * is root, and is in a sandbox. Where there is no header, or none in time,
 * it says so in the log. It ends by itself, soon, and is a child to reap.
 */

#include <sys/types.h>

#include "tools/ucspi/caller.h"
#include "tools/ucspi/options.h"

/* For a proxy that means well, a lost packet included. */
#define ANNOUNCER_TIMEOUT_MS 5000

struct announcer {
	bool quiet;
	bool change_ids;
	uid_t uid;
	gid_t gid;
};

void announcer_init(struct announcer *announcer, const struct options *o);

/* -1 with errno. */
int announcer_start(const struct announcer *announcer,
		    const struct caller *caller) MUST_USE;
/* False: there is no client. */
bool announcer_finish(int fd, struct caller *caller) MUST_USE;

#endif
