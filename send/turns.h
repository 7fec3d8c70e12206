#ifndef SEND_TURNS_H
#define SEND_TURNS_H

/*
 * Whose turn it is: which recipients get the free slots, and what their jobs
 * bring back.
 *
 * A free slot goes to the passes in turn, one job at a time: one recipient, or
 * those at one remote host; while both kinds wait, three slots go to fresh
 * ones and the fourth to an old one. So a long queue never delays new mail, and
 * new mail never stops an old queue. Every second remote slot is for those who
 * were left to wait for their host, as long as there are any whose host calls.
 */

#include <stdint.h>

#include "lib/polls.h"

struct send;

/* Fill the free slots of both channels. */
void turns_start(struct send *s);
/* Send what a socket did not take before the poll. */
void turns_send_pending(struct send *s, const struct polls *polls);
/* Read what the spawners have answered. */
void turns_results(struct send *s);
/* Lower *deadline to when something becomes due that could be started. */
void turns_prepare(struct send *s, int64_t *deadline);

#endif
