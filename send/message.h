#ifndef SEND_MESSAGE_H
#define SEND_MESSAGE_H

/*
 * A message in work: its queue file is open and its envelope in memory; the
 * file may be a record of the queue's log (send/logged.h).
 *
 * A pass is one attempt at the recipients of one channel: it walks the
 * envelope once. Local and remote passes of a message come and go
 * independently, each at its own due time; when none is open the message is
 * closed. Whom a remote pass has left to wait for his host gets his attempt
 * when that calls, in a pass that walks nowhere.
 */

#include <stdint.h>

#include "lib/job.h"
#include "lib/qfile.h"
#include "lib/str.h"
#include "send/pass.h"
#include "send/schedule.h"

struct message;
struct send;

/* Where a message lies in the log, and its neighbours by arrival. */
struct logged_place {
	bool is; /* false: it is a file */
	uint64_t segment;
	uint64_t offset;
	uint64_t length;
	bool unmarked;    /* a state byte could not be written */
	int64_t since_ms; /* monotonic; 5 s later it becomes a file */
	struct message *older;
	struct message *newer;
};

struct message {
	uint32_t no; /* in the schedule */
	uint64_t id;
	struct qfile file;
	struct pass passes[2];
	bool loaded;          /* the message itself, checked: */
	struct str text;      /* when at most JOB_INLINE_MAX bytes */
	int memfd;            /* else, or -1 */
	uint64_t reports_end; /* of the bounce file; see send/reports.h */
	struct logged_place in_log;
};

/*
 * Open the queue file of entry `no`. False when there is nothing to work on
 * now: then the reason is in the log, and the entry is gone from the
 * schedule, or due again as `which` a little later.
 */
bool message_open_file(struct send *s, uint32_t no, enum due which,
		       struct qfile *file);

/* Takes over *file. */
struct message *message_new(uint32_t no, struct qfile *file);
void message_free(struct message *m);

/* Its file's bytes are here already: the message is checked and kept. */
void message_preload(struct message *m, struct view image);
/* OK, BAD (the checksum), or ERROR with errno. */
enum qfile_result message_load(struct message *m) MUST_USE;

/* In the file, and in the envelope in memory. */
void message_mark(struct send *s, struct message *m, uint64_t state_offset,
		  enum qfile_state state);

/* Set aside in bad/ and forget: it does not check. */
void message_set_aside(struct send *s, uint32_t no);
/*
 * Rename `path`, of message id, into bad/. Logs; a failure only when it was
 * not said before. What is no plain file stays where it is if the sandbox
 * says so: it is not ours.
 */
void message_rename_bad(struct send *s, const char *path, uint64_t id,
			bool said);

#endif
