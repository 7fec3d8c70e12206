#include "tools/ucspi/status.h"

#include <sys/wait.h>

#include "lib/die.h"
#include "lib/memory.h"

/* An IPv6 client is a network: it has all the addresses that it likes. */
#define ADDRESS_BITS 32
#define ADDRESS_BITS6 64

static void say(const struct status *status)
{
	if (status->verbose)
		warn("status: %u/%u", status->count, status->limit);
}

int status_init(struct status *status, const struct options *o)
{
	*status = (struct status){
		.verbose = o->common.verbosity >= VERBOSE,
		.limit = o->limit,
	};
	chains_init(&status->chains, o->limit);
	status->children =
		memory_zeroed((size_t)o->limit + 1, sizeof(*status->children));
	if (limits_are_possible(o) &&
	    (crowd_init(&status->addresses, o->limit, ADDRESS_BITS,
			ADDRESS_BITS6) == -1 ||
	     crowd_init(&status->networks, o->limit, o->network_bits,
			o->network_bits6) == -1))
		return -1;
	say(status);
	return 0;
}

struct limits_count status_count(const struct status *status,
				 const struct ipaddr *ip)
{
	return (struct limits_count){
		.address = crowd_count(&status->addresses, ip),
		.network = crowd_count(&status->networks, ip),
	};
}

void status_add(struct status *status, pid_t pid, const struct ipaddr *ip)
{
	uint32_t no = chains_take(&status->chains, (uint32_t)pid);

	status->children[no] = (struct status_child){
		.pid = pid,
		.address = crowd_enter(&status->addresses, ip),
		.network = crowd_enter(&status->networks, ip),
	};
	status->count++;
	say(status);
}

static bool forget(struct status *status, pid_t pid)
{
	uint32_t no = chains_first(&status->chains, (uint32_t)pid);

	while (no && status->children[no].pid != pid)
		no = chains_next(&status->chains, no);
	if (no == 0)
		return false;
	crowd_leave(&status->addresses, status->children[no].address);
	crowd_leave(&status->networks, status->children[no].network);
	chains_drop(&status->chains, (uint32_t)pid, no);
	status->count--;
	return true;
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
