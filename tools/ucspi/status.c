#include "tools/ucspi/status.h"

#include <stdlib.h>
#include <sys/wait.h>

#include "lib/die.h"

static void say(const struct status *status)
{
	if (status->verbose)
		warn("status: %u/%u", status->count, status->limit);
}

void status_init(struct status *status, const struct options *o)
{
	*status = (struct status){
		.verbose = o->common.verbosity >= VERBOSE,
		.limit = o->limit,
		.pids = calloc(o->limit, sizeof(pid_t)),
	};
	if (!status->pids)
		die(EXIT_RETRY, "fatal: out of memory");
	say(status);
}

bool status_full(const struct status *status)
{
	return status->count >= status->limit;
}

void status_add(struct status *status, pid_t pid)
{
	status->pids[status->count++] = pid;
	say(status);
}

static bool forget(struct status *status, pid_t pid)
{
	for (unsigned i = 0; i < status->count; i++)
		if (status->pids[i] == pid) {
			status->pids[i] = status->pids[--status->count];
			return true;
		}
	return false;
}

void status_reap(struct status *status)
{
	int result;
	pid_t pid;

	while ((pid = waitpid(-1, &result, WNOHANG)) > 0) {
		if (!forget(status, pid))
			continue;
		if (status->verbose)
			warn("end %ld status %d", (long)pid, result);
		say(status);
	}
}
