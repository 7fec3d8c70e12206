#ifndef SEND_WORK_H
#define SEND_WORK_H

/*
 * Messages in work: they are opened when something is due for them and there
 * is room, and closed when no pass is open any more.
 */

#include <stdint.h>

#include "lib/qfile.h"
#include "lib/str.h"
#include "send/pass.h"

struct send;
struct message;
struct logged_place;

struct work {
	struct pass_list fresh[2]; /* by channel */
	struct pass_list old[2];
	unsigned turns[2];     /* counts slots, for the fourth one */
	unsigned calls;        /* and these, for the second one */
	int64_t doubt_ms;      /* when to look for long jobs again */
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

/* Is there room for the envelope of another? */
bool work_may_open(struct send *s);
/* Open what is due on a channel, as long as there is room. */
void work_open_all_due(struct send *s, int c, bool fresh);
/* The open message of a schedule entry; one that is closed, with its file. */
struct message *work_find_open(struct send *s, uint32_t no);
struct message *work_adopt_file(struct send *s, uint32_t no,
				struct qfile *file);

/* Is a pass of it open? */
bool work_is_in_work(const struct message *m);
/*
 * Read and check the message before its first job. When it cannot be had,
 * the message is closed, and *m with it.
 */
bool work_load_or_close(struct send *s, struct message *m);
/*
 * What is due for recipients that no open pass looks after? When nothing is
 * open any more, the message is closed; when nobody waits, it has ended.
 */
void work_settle(struct send *s, struct message *m);
/*
 * A pass whose recipients have all been answered, or left, is over. True: it
 * was, and *m may be gone.
 */
bool work_close_if_over(struct send *s, struct message *m, int c);

void work_free(struct send *s);

#endif
