#ifndef SEND_LOGGED_PARTS_H
#define SEND_LOGGED_PARTS_H

/*
 * What the files of logged have among themselves:
 *
 *	logged.c           which messages are in the log; the connection
 *	logged_segment.c   bytes and marks of a segment
 *	logged_file.c      a record becomes a file in mess/
 *	logged_replay.c    what a crash has left of a segment
 */

#include "send/logged.h"

struct qfile;

/* So long we wait before we connect again, mark again, replay again. */
#define LOGGED_CONNECT_MS 1000
#define LOGGED_MARK_MS 1000
#define LOGGED_TROUBLE_MS (INT64_C(1000) * SEND_TROUBLE_S)

/* qmail-queued is not there any more, as far as we are concerned. */
void logged_disconnect(struct send *s, int64_t again_ms);

/* ---- segments ---- */

/* Its descriptor, which stays open; -1 with errno. */
int logged_open_segment(struct send *s, uint64_t number) MUST_USE;
/* `length` bytes of a segment into s->logged.image. -1 with errno. */
int logged_read_image(struct send *s, int fd, uint64_t offset,
		      uint64_t length) MUST_USE;
/*
 * The bytes of a record that does not check, as they are, into bad/. Logs;
 * -1: they must stay in the segment.
 */
int logged_save_bad(struct send *s, struct view bytes, uint64_t segment,
		    uint64_t offset) MUST_USE;

/* One record more that is qmail-queued's again. */
void logged_count_released(struct logged *l, uint64_t segment, bool moved);
/*
 * Mark a record `M`, and release it then if `mark` says so. Where it cannot
 * be written now the log says so, the record is not released, so that its
 * segment stays as it is, and it is tried again. False then.
 */
bool logged_mark(struct send *s, const struct logged_mark *mark);
/* Those that failed, once more. False: some are left. */
bool logged_mark_again(struct send *s);
/* Is its record in need of a mark that failed? */
bool logged_lacks_mark(const struct logged *l, uint64_t segment,
		       uint64_t offset) MUST_USE;

/* ---- files ---- */

/* A durable file in mess/ with what `q` holds; -1 with errno. */
int logged_write_file(struct send *s, const struct qfile *q,
		      struct str *path) MUST_USE;
/* Is what lies there the same message, whole? An earlier move, then. */
bool logged_is_moved_already(struct send *s, const char *path,
			     const struct qfile *q) MUST_USE;

/* ---- replaying ---- */

/* All segments that are to be replayed, unless trouble was just met. */
void logged_replay(struct send *s);

#endif
