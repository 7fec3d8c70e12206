#ifndef TOOLS_UCSPI_VISITOR_H
#define TOOLS_UCSPI_VISITOR_H

/*
 * Who connects, whether the rules let them, and what the program is told.
 *
 *	struct visitor v;
 *
 *	if (visitor_open(&v, &options, &caller) == 0) {
 *		visitor_ask(&v);
 *		if (visitor_judge(&v) == VISITOR_ALLOWED)
 *			...run the program; environ is its environment
 *	}
 *	visitor_free(&v);
 *
 * Nothing here ends the process, but for want of memory (lib/memory.h).
 */

#include <sys/types.h>

#include "lib/environment.h"
#include "tools/ucspi/caller.h"
#include "tools/ucspi/options.h"
#include "tools/ucspi/peer.h"

struct visitor {
	const struct options *o;
	const struct caller *caller;
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
int visitor_open(struct visitor *v, const struct options *o,
		 const struct caller *caller) MUST_USE;
/* Names, as far as they are wanted: that may take time. */
void visitor_ask(struct visitor *v);
enum visitor_verdict visitor_judge(struct visitor *v) MUST_USE;
void visitor_free(struct visitor *v);

/*
 * Two lines for the log, where it is verbose. pid serves the connection, or
 * is 0 when no process ever did; why says what denies it, if not the rules.
 */
void visitor_say_came(struct visitor *v, pid_t pid);
void visitor_say_ok(struct visitor *v, pid_t pid);
void visitor_say_deny(struct visitor *v, pid_t pid, const char *why);

#endif
