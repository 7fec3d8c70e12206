#ifndef SEND_JOBS_H
#define SEND_JOBS_H

/*
 * Jobs: what a spawner is told of a message and one of its recipients, or of
 * those at one remote host.
 */

#include <stdint.h>

#include "lib/qfile.h"

struct message;
struct send;

/*
 * A job for recipient `first`, who is the next one of a pass; on the remote
 * channel, where VERP does not forbid it, whoever waits at his host comes
 * along. recipient_channel() has just been asked about him. There must be a
 * free slot, and the message must be loaded.
 */
void jobs_start(struct send *s, struct message *m, int c,
		const struct qfile_recipient *first);

void jobs_log_status(struct send *s);
/* Not answered yet. */
uint64_t jobs_in_flight(const struct send *s);
/* A spawner is gone, or of no use. */
void jobs_lose_channel(struct send *s, int c);

#endif
