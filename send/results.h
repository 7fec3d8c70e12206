#ifndef SEND_RESULTS_H
#define SEND_RESULTS_H

/*
 * What becomes of a recipient once his delivery is answered: a line in the
 * log, a mark in the queue file, a report for the bounce.
 */

#include "lib/qfile.h"
#include "send/channel.h"

struct message;
struct send;

/* Each recipient of delivery d, on channel c, from its result's outcomes. */
void results_apply(struct send *s, const struct delivery *d, int c,
		   struct view outcomes);
/*
 * One whose time is over while his host is dead, of which `text` was said
 * last; `number` is his delivery's.
 */
void results_give_up(struct send *s, struct message *m, int c, uint64_t number,
		     const struct qfile_recipient *rcpt, struct view text);

#endif
