#ifndef SEND_WORK_H
#define SEND_WORK_H

/*
 * Messages in work, and whose turn it is.
 *
 * Each channel has at most `concurrency` passes over messages that have been
 * tried before, and as many over fresh ones, so that neither waits for the
 * other to be opened. A free slot goes to the passes in turn, one job at a
 * time: one recipient, or those at one remote host; while both kinds wait,
 * three slots go to fresh ones and the fourth to an old one. So a long queue
 * never delays new mail, and new mail never stops an old queue.
 */

#include <stdint.h>

#include "lib/polls.h"
#include "lib/qfile.h"
#include "lib/str.h"

struct send;
struct message;
struct logged_place;

struct pass_list { /* in order of their next turn */
	struct message **messages;
	size_t count;
	size_t cap;
};

struct work {
	struct pass_list fresh[2]; /* by channel */
	struct pass_list old[2];
	unsigned turns[2];     /* counts slots, for the fourth one */
	struct message **open; /* by schedule number; NULL: it is closed */
	size_t open_cap;
	uint64_t last_job; /* of the last recipient */
	uint64_t open_messages;
	uint64_t open_bytes; /* of their envelopes */
	struct str packet;   /* scratch: */
	struct str recipients;
	struct str plain;
	struct str target;
	struct str host;
	struct str sender;
};

/*
 * A message just taken over, with its file open. *file is taken too. Begins
 * at once where there is room.
 */
void work_take(struct send *s, struct qfile *file);
/*
 * The same for one that lies in the log: it stays open, and work_begin() must
 * follow when the caller has noted it.
 */
struct message *work_adopt(struct send *s, struct qfile *file,
			   const struct logged_place *place);
void work_begin(struct send *s, struct message *m);
/* It lay in the log and is a file now; closed unless it is in work. */
void work_moved(struct send *s, struct message *m);
/* A message found in mess/ at the start. */
void work_found(struct send *s, uint64_t id);

/* Fill the free slots of both channels. */
void work_start(struct send *s);
/* Send what a socket did not take before the poll. */
void work_send_pending(struct send *s, const struct polls *polls);
/* Read what the spawners have answered. */
void work_results(struct send *s);
/* Lower *deadline to when something becomes due that could be started. */
void work_prepare(struct send *s, int64_t *deadline);

void work_free(struct send *s);

#endif
