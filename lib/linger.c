#include "lib/linger.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/ready.h"

void linger(int in, int out)
{
	char space[4096];
	int64_t deadline_ms = clock_mono_ms() + LINGER_MS;
	size_t total = 0;

	/* What is no socket loses nothing when it is closed. */
	if (shutdown(out, SHUT_WR) == -1)
		return;
	while (total < LINGER_MAX_BYTES &&
	       ready_wait(in, POLLIN, LINGER_MS, deadline_ms) == 0) {
		ssize_t got = read(in, space, sizeof(space));

		if (got <= 0)
			return;
		total += (size_t)got;
	}
}
