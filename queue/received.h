#ifndef QUEUE_RECEIVED_H
#define QUEUE_RECEIVED_H

/*
 * The line that qmail-queued puts before every message, saying who handed
 * it in; the words are qmail-queue's.
 *
 *	Received: (qmail 4711 invoked by uid 1000); 22 Nov 2026 09:08:43 -0000
 */

#include <sys/types.h>

#include "lib/ids.h"
#include "lib/str.h"

/* Append the line with its LF. */
void received_format(struct str *to, const struct ids *ids, uid_t uid,
		     pid_t pid, int64_t unix_s);

#endif
