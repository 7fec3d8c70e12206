#ifndef SEND_JOBS_H
#define SEND_JOBS_H

/*
 * Jobs: what a spawner is told of a message and one of its recipients, or of
 * those at one remote host.
 */

#include <stdint.h>

#include "lib/qfile.h"

struct destination;
struct message;
struct send;

/*
 * A job for recipient `first` of a pass; on the remote channel, where VERP
 * does not forbid it, whoever waits at his host comes along, found from *at
 * on. recipient_channel() has just been asked about him. There must be a free
 * slot, and the message must be loaded.
 *
 * Returns true when more may wait there; then *at is where to go on looking.
 */
bool jobs_start(struct send *s, struct message *m, int c,
		const struct qfile_recipient *first, struct destination *d,
		struct qfile_cursor *at);

/* One who gets no job: his delivery's line in the log. Its number. */
uint64_t jobs_number(struct send *s, const struct message *m, int c);

void jobs_log_status(struct send *s);
/* Not answered yet. */
uint64_t jobs_in_flight(const struct send *s);
/* A spawner is gone, or of no use. */
void jobs_lose_channel(struct send *s, int c);

#endif
