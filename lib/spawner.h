#ifndef LIB_SPAWNER_H
#define LIB_SPAWNER_H

/*
 * A program that takes jobs from the socket on its descriptor 0 and gives
 * each to a worker process (doc/delivery.md).
 *
 *	struct spawner s = { .ops = &ops, .arg = &mine };
 *
 *	if (spawner_init(&s) == -1) ...
 *	return spawner_run(&s);
 *
 * For every job ops->start() is called. It does one of three things with
 * the slot: spawner_answer() says the outcome at once, spawner_worker()
 * starts a process that answers on its descriptor 0, spawner_lookup() starts
 * one whose standard output is collected and given to ops->looked_up(),
 * which then does one of the first two.
 *
 * Whatever a worker does, each recipient of a job gets exactly one outcome:
 * one that dies or talks nonsense defers them, one that takes longer than
 * timeout_ms is killed with its process group. The spawner itself never ends
 * because the system is out of processes or descriptors for one job.
 * It ends when the other side has closed and the last worker is gone.
 *
 * A worker whose result says that it stays is kept for another job of the
 * same key (lib/workers.h), unless the file it was started from has changed
 * meanwhile. There are never more workers than jobs could run at once. A job
 * that an idle worker did not even begin, because it died first, goes to a
 * fresh one.
 */

#include <sys/types.h>

#include "lib/job.h"
#include "lib/polls.h"
#include "lib/spawn.h"
#include "lib/str.h"
#include "lib/workers.h"

struct spawner;

struct spawner_slot {
	bool used;
	struct str packet; /* the job as it came; its views point here */
	struct job job;
	pid_t pid; /* of the process, 0 when there is none */
	int from;  /* what it says: worker's socket or lookup's pipe */
	bool is_lookup;
	bool answered;
	bool late;         /* killed because of deadline_ms */
	struct str output; /* of a lookup */
	int64_t deadline_ms;
	size_t poll_no;
	/* Of the worker: */
	struct str key;
	struct filemark file;
	uint64_t number; /* of the job, on its socket */
	bool is_kept;    /* it has done other jobs before */
	bool not_begun;  /* it ended without having read the job */
	bool needs_new;  /* so this job must have a fresh one */
};

struct spawner_ops {
	const char *worker; /* the program's name, for texts */
	void (*start)(struct spawner *s, struct spawner_slot *slot);
	/* code: exit code, -1 for a crash. May be NULL without lookups. */
	void (*looked_up)(struct spawner *s, struct spawner_slot *slot,
			  int code);
	/* NULL, or called when POLLPRI comes from s->watched, before jobs. */
	void (*noticed)(struct spawner *s);
};

struct spawner {
	const struct spawner_ops *ops;
	void *arg;          /* the program's own */
	int64_t timeout_ms; /* for one job */
	size_t slot_count;
	struct spawner_slot *slots;
	struct workers workers; /* that wait for a job */
	uint64_t last_number;
	struct str space; /* for packets, as they come and go */
	int signals;
	int watched;           /* see noticed(); -1: nothing */
	bool closing;          /* no job will come any more */
	int64_t hold_until_ms; /* descriptors were short */
	size_t job_poll_no;
	size_t signal_poll_no;
	size_t watched_poll_no;
	bool polls_jobs;
	struct polls polls;
};

/* How long a delivery may take where control/timeoutdelivery is absent. */
#define SPAWNER_TIMEOUT_S 86400

/* Allocate, catch SIGCHLD, say hello. -1 with errno. */
int spawner_init(struct spawner *s) MUST_USE;
/* Returns the exit code. */
int spawner_run(struct spawner *s) MUST_USE;

/* The same outcome for every recipient of the job. */
void spawner_answer(struct spawner *s, struct spawner_slot *slot,
		    enum job_outcome outcome, struct view text);

/*
 * Give the job to an idle worker of the same key, or start `how` with its
 * socket on descriptor 0. An empty key has no idle workers. The key says
 * everything that a worker keeps from one job to the next: for whom it runs.
 * When none can be started the recipients are deferred. ops->start() may be
 * called once more for the same slot: see `not_begun`.
 */
void spawner_worker(struct spawner *s, struct spawner_slot *slot,
		    struct spawn *how, const struct job *job, struct view key);

/* Start `how` with its descriptor 1 collected. -1 with errno. */
int spawner_lookup(struct spawner *s, struct spawner_slot *slot,
		   struct spawn *how) MUST_USE;

/*
 * control/timeoutdelivery in milliseconds, or the default. -1 with errno
 * when it cannot be read.
 */
int spawner_timeout(int homefd, int64_t *timeout_ms) MUST_USE;

#endif
