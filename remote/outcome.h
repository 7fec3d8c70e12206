#ifndef REMOTE_OUTCOME_H
#define REMOTE_OUTCOME_H

/*
 * What became of one message and each of its recipients, in qmail-remote's
 * words and in those of the job protocol.
 */

#include "lib/job.h"
#include "lib/str.h"

enum outcome_rcpt {
	OUTCOME_UNKNOWN = 0, /* nobody was asked */
	OUTCOME_TAKEN = 'r',
	OUTCOME_REFUSED = 'h',
	OUTCOME_LATER = 's',
};

struct outcome_recipient {
	uint64_t number;
	struct view address;
	enum outcome_rcpt state;
	bool is_surplus; /* later only since there were too many at once */
	struct str text;
};

struct outcome {
	struct outcome_recipient *recipients;
	size_t count;
	enum job_outcome letter; /* of the message */
	bool hop_failed;         /* whoever was asked last is no use to any */
	struct str text;
};

void outcome_add(struct outcome *o, uint64_t number, struct view address);
void outcome_free(struct outcome *o);

/* How the message ended; the last call counts. */
void outcome_set(struct outcome *o, enum job_outcome letter, const char *fmt,
		 ...) PRINTF_LIKE(3, 4);

/* As qmail-remote reports: r, h or s and text for each recipient, K, Z or D. */
void outcome_print(const struct outcome *o, struct str *to);
/*
 * As one result packet. Where the texts of many recipients would not fit,
 * each is cut.
 */
void outcome_result(const struct outcome *o, uint64_t number,
		    struct str *packet);

#endif
