#ifndef SEND_LOG_H
#define SEND_LOG_H

/*
 * qmail-send's log, in qmail's own form, one event a line.
 *
 *	log_line(&log, "end msg %lu", id);
 *
 *	log_put(&log, "info msg %lu: bytes %lu from <", id, bytes);
 *	log_safe(&log, sender);
 *	log_put(&log, "> qp %lu uid %lu", pid, uid);
 *	log_end(&log);
 *
 * Strangers' text goes through log_safe(): a newline becomes `/`, and every
 * byte that is not printable, a blank or a percent sign becomes `_`. A
 * logger that is gone is not waited for.
 *
 * With `gathers` set, lines are written together, at log_flush() or when a
 * pipe's worth of them has gathered.
 */

#include "lib/str.h"

struct log {
	int fd;
	bool gathers;
	struct str line;  /* not ended yet */
	struct str lines; /* not written yet */
};

void log_line(struct log *log, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The same with `: ` and what errno says. Keeps errno. */
void log_errno(struct log *log, const char *fmt, ...) PRINTF_LIKE(2, 3);

void log_put(struct log *log, const char *fmt, ...) PRINTF_LIKE(2, 3);
void log_safe(struct log *log, struct view text);
void log_end(struct log *log);
void log_flush(struct log *log);

/* What log_safe() makes of a text. */
void log_sanitize(struct str *to, struct view text);

#endif
