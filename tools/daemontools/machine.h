#ifndef DAEMONTOOLS_MACHINE_H
#define DAEMONTOOLS_MACHINE_H

/*
 * What supervise does when: states, events, and the table between them.
 *
 *	DOWN      nothing runs and nothing is to be started
 *	DUE       nothing runs; ./run is to be started, again and again
 *	DUE_ONCE  nothing runs; ./run is to be started, once
 *	UP        ./run runs and is started again when it ends
 *	LAST      ./run runs and is not started again
 *	LEAVING   ./run runs; supervise ends when it does
 *	GONE      supervise ends now
 *
 * The table knows no process and no clock: the caller starts ./run in the
 * two DUE states when the second since the last start is over.
 */

#include "lib/str.h"

enum machine_state {
	MACHINE_DOWN,
	MACHINE_DUE,
	MACHINE_DUE_ONCE,
	MACHINE_UP,
	MACHINE_LAST,
	MACHINE_LEAVING,
	MACHINE_GONE,
};
#define MACHINE_STATES 7

enum machine_event {
	MACHINE_WANT_UP,   /* svc -u */
	MACHINE_WANT_DOWN, /* svc -d */
	MACHINE_WANT_ONCE, /* svc -o */
	MACHINE_WANT_EXIT, /* svc -x */
	MACHINE_STARTED,   /* ./run has been forked */
	MACHINE_DIED,      /* ./run has been reaped */
};
#define MACHINE_EVENTS 6

struct machine_step {
	enum machine_state next;
	bool stop; /* send ./run a TERM and a CONT */
};

struct machine_step machine_step(enum machine_state state,
				 enum machine_event event);

#endif
