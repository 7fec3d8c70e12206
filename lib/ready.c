#include "lib/ready.h"

#include <errno.h>
#include <poll.h>

#include "lib/clock.h"

/* poll(2) takes an int; a wait that is longer is done in pieces. */
#define PIECE_MS 1000000

/* The earlier one, where 0 stands for none. */
static int64_t earlier(int64_t a, int64_t b)
{
	if (a == 0 || b == 0)
		return a + b;
	return a < b ? a : b;
}

int ready_wait(int fd, short events, int timeout_ms, int64_t deadline_ms)
{
	struct pollfd ready = { .fd = fd, .events = events };
	int64_t now = clock_mono_ms();
	int64_t end = deadline_ms;

	if (deadline_ms && now >= deadline_ms) {
		errno = ETIMEDOUT;
		return -1;
	}
	if (timeout_ms >= 0)
		end = earlier(end, now + timeout_ms);
	for (;;) {
		int64_t left = end - now;
		int wait = end == 0 ? -1 : PIECE_MS;
		int n;

		if (wait != -1 && left < wait)
			wait = left < 0 ? 0 : (int)left;
		n = poll(&ready, 1, wait);
		if (n > 0)
			return 0;
		if (n == -1 && errno != EINTR)
			return -1;
		now = clock_mono_ms();
		if (end && now >= end) {
			errno = ETIMEDOUT;
			return -1;
		}
	}
}
