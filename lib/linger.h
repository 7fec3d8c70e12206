#ifndef LIB_LINGER_H
#define LIB_LINGER_H

/*
 * The last words of a server that ends a session by itself. A TCP socket
 * closed while bytes of the client's are unread is reset, and the reset
 * throws away the reply that the client has not read yet. So: send the end,
 * then read and forget what comes, for a while.
 */

#include "lib/str.h"

#define LINGER_MS 2000
#define LINGER_MAX_BYTES ((size_t)1 << 20)

/* in and out may be the same. Nothing can be sent or read afterwards. */
void linger(int in, int out);

#endif
