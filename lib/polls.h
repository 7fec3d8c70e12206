#ifndef LIB_POLLS_H
#define LIB_POLLS_H

/*
 * One poll(2) for a whole process. Each module adds what it waits for in its
 * x_prepare(), keeps the number it got, and asks with it in its x_act():
 *
 *	polls_reset(&polls);
 *	deadline = POLLS_NEVER;
 *	x_prepare(&x, &polls, &deadline);     adds descriptors, lowers deadline
 *	polls_wait(&polls, deadline);
 *	x_act(&x, &polls);                    polls_ready(&polls, x.poll_no)
 *
 * Deadlines are milliseconds on the monotonic clock (lib/clock.h).
 */

#include <poll.h>

#include "lib/str.h"

#define POLLS_NEVER INT64_MAX

struct polls {
	struct pollfd *fds;
	size_t count;
	size_t cap;
};

void polls_reset(struct polls *polls);
void polls_free(struct polls *polls);
/* events as in poll(2); returns the number to ask with. */
size_t polls_add(struct polls *polls, int fd, short events);
/* Lower *deadline to at_ms if that is earlier. */
void polls_until(int64_t *deadline, int64_t at_ms);
/* Wait for an event, the deadline, or a signal. -1 with errno, not EINTR. */
int polls_wait(struct polls *polls, int64_t deadline) MUST_USE;
/* What happened to entry `no` (revents); 0 for nothing. */
short polls_ready(const struct polls *polls, size_t no);

#endif
