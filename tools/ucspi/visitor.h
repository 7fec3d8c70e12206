#ifndef TOOLS_UCSPI_VISITOR_H
#define TOOLS_UCSPI_VISITOR_H

/*
 * Who connects, whether the rules let them, and what the program is told.
 *
 *	struct visitor v;
 *
 *	if (visitor_open(&v, &options, fd, remote) == 0) {
 *		visitor_ask(&v);
 *		if (visitor_judge(&v) == VISITOR_ALLOWED)
 *			...run the program; environ is its environment
 *	}
 *	visitor_free(&v);
 *
 * Nothing here ends the process, but for want of memory (lib/memory.h).
 */

#include <sys/socket.h>
#include <sys/types.h>

#include "lib/environment.h"
#include "tools/ucspi/options.h"
#include "tools/ucspi/peer.h"

struct visitor {
	const struct options *o;
	int fd;
	struct peer peer;
	struct environment env;
};

enum visitor_verdict {
	VISITOR_ALLOWED,
	VISITOR_DENIED,
	VISITOR_UNDECIDED, /* the rules cannot be read: errno */
};

/*
 * Addresses, socket options. environ is ours from here to visitor_free(),
 * which is due after a failure, too. -1 with errno.
 */
int visitor_open(struct visitor *v, const struct options *o, int fd,
		 const struct sockaddr *remote) MUST_USE;
/* Names, as far as they are wanted: that may take time. */
void visitor_ask(struct visitor *v);
enum visitor_verdict visitor_judge(struct visitor *v) MUST_USE;
void visitor_free(struct visitor *v);

/* Two lines for the log, where it is verbose. pid serves the connection. */
void visitor_say_came(struct visitor *v, pid_t pid);
void visitor_say(struct visitor *v, pid_t pid, bool allow);

#endif
