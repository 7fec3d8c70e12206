#ifndef QUEUE_APPENDER_PARTS_H
#define QUEUE_APPENDER_PARTS_H

/*
 * What the files of the appender have among themselves: appender.c writes
 * and frees segments, appender_look.c finds out what was there at the start.
 */

#include "queue/appender.h"

/* So long we wait after trouble before we look again. */
#define APPENDER_PAUSE_MS 1000

size_t appender_number(const struct appender *a, const struct segment *segment);
/* Its descriptor, or -1 with errno. */
int appender_open_segment(const struct appender *a, size_t number,
			  int flags) MUST_USE;
/* Close it, if it is open. */
void appender_drop(struct segment *segment, enum segment_phase phase);
/* Leave it alone until the next start; the log says why. */
void appender_forbid(struct appender *a, struct segment *segment,
		     const char *why);

#endif
