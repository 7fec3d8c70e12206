#ifndef LIB_INHERIT_H
#define LIB_INHERIT_H

/*
 * What a program gets from whoever started it, and must not rely on.
 */

#include "lib/str.h"

/*
 * For the first lines of main(): descriptors 0, 1 and 2 exist (a missing one
 * is /dev/null, so that nothing opened later becomes the client or the log),
 * signals are default and unblocked but for SIGPIPE and SIGXFSZ, which are
 * ignored, the umask is 077, and no core is dumped. Other limits stay:
 * whoever set them wanted them, and what they forbid is an error like any
 * other. Dies with EXIT_RETRY if it cannot.
 */
void inherit_reset(void);

/* Only the descriptors: for who passes everything else on. */
void inherit_descriptors(void);

/*
 * Let small writes to fd leave at once, if it is a TCP socket: waiting for
 * the peer's acknowledgement costs 40 ms a reply.
 */
void inherit_nodelay(int fd);

#endif
