#ifndef RSPAWN_NEXTHOP_H
#define RSPAWN_NEXTHOP_H

/*
 * Which jobs may go to the same qmail-remote, one after the other: those
 * with the same key.
 *
 * A qmail-remote keeps a connection to the next hop, so that is the key: the
 * relay and port of control/smtproutes, else the host. It also has a sandbox
 * in which it can read the files that were there when it was started, so
 * these are part of the key, too.
 */

#include "lib/control.h"
#include "lib/filemark.h"

struct nexthop {
	int homefd;                 /* borrowed */
	struct control_list routes; /* control/smtproutes, if is_loaded: */
	bool is_loaded;
	struct filemark mark;
};

/* Overwrite *key. Empty: no job shares a process with this one. */
void nexthop_key(struct nexthop *n, struct view host, struct str *key);
void nexthop_free(struct nexthop *n);

#endif
