#include "lib/polls.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "lib/clock.h"
#include "lib/memory.h"

/* How long to wait where the kernel cannot even wait for us. */
#define NO_MEMORY_MS 100

void polls_reset(struct polls *polls)
{
	polls->count = 0;
}

void polls_free(struct polls *polls)
{
	free(polls->fds);
	*polls = (struct polls){ 0 };
}

size_t polls_add(struct polls *polls, int fd, short events)
{
	if (polls->count == polls->cap) {
		polls->cap = polls->cap * 2 + 16;
		polls->fds = memory_resize(polls->fds, polls->cap,
					   sizeof(*polls->fds));
	}
	polls->fds[polls->count] =
		(struct pollfd){ .fd = fd, .events = events };
	return polls->count++;
}

void polls_until(int64_t *deadline, int64_t at_ms)
{
	if (at_ms < *deadline)
		*deadline = at_ms;
}

int polls_wait(struct polls *polls, int64_t deadline)
{
	int wait = -1;
	int n;

	if (deadline != POLLS_NEVER) {
		int64_t now = clock_mono_ms();
		int64_t left = deadline > now ? deadline - now : 0;

		wait = left > 3600000 ? 3600000 : (int)left;
	}
	n = poll(polls->fds, polls->count, wait);
	if (n == -1 && errno == ENOMEM) {
		/* The kernel's own shortage: nothing is ready for a moment. */
		poll(NULL, 0, NO_MEMORY_MS);
		n = 0;
	}
	if (n == -1 || n == 0)
		for (size_t i = 0; i < polls->count; i++)
			polls->fds[i].revents = 0;
	return n == -1 && errno != EINTR ? -1 : 0;
}

short polls_ready(const struct polls *polls, size_t no)
{
	assert(no < polls->count);
	return polls->fds[no].revents;
}
