#ifndef REMOTE_OWNADDRESS_H
#define REMOTE_OWNADDRESS_H

/*
 * Is an address one of this host's? Mail that DNS sends to ourselves and that
 * is not local would come back for ever.
 *
 * Ours are those that the kernel keeps for itself, loopback and the
 * unspecified one; besides, those of control/moreipme (of a host behind a
 * translator of addresses), and never those of control/notipme.
 */

#include "lib/control.h"
#include "lib/ipaddr.h"

struct ownaddress {
	struct control_list more;  /* control/moreipme */
	struct control_list never; /* control/notipme */
};

bool ownaddress_is(const struct ownaddress *own, const struct ipaddr *ip);
void ownaddress_free(struct ownaddress *own);

#endif
