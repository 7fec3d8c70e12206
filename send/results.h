#ifndef SEND_RESULTS_H
#define SEND_RESULTS_H

/*
 * What becomes of a recipient once his delivery is answered: a line in the
 * log, a mark in the queue file, a report for the bounce.
 */

#include "send/channel.h"

struct send;

/* Each recipient of delivery d, on channel c, from its result's outcomes. */
void results_apply(struct send *s, const struct delivery *d, int c,
		   struct view outcomes);

#endif
