#ifndef TOOLS_UCSPI_STATUS_H
#define TOOLS_UCSPI_STATUS_H

/*
 * The connections being served: one child each, at most `limit`; and how
 * many there are from one address and one network, where somebody may ask.
 *
 * Children that we did not start (a shell may leave some behind when it
 * execs us) are collected and not counted.
 */

#include <sys/types.h>

#include "tools/ucspi/crowd.h"
#include "tools/ucspi/limits.h"
#include "tools/ucspi/options.h"

struct status_child {
	pid_t pid;
	uint32_t address; /* numbers of the crowds */
	uint32_t network;
};

struct status {
	bool verbose;
	unsigned limit;
	unsigned count;
	struct chains chains; /* by pid */
	struct status_child *children;
	struct crowd addresses;
	struct crowd networks;
};

/* -1 with errno. */
int status_init(struct status *status, const struct options *o) MUST_USE;
/* How many are here from where ip is. */
struct limits_count status_count(const struct status *status,
				 const struct ipaddr *ip);
/* Count a new child, and say so. */
void status_add(struct status *status, pid_t pid, const struct ipaddr *ip);
/* Collect every child that has ended, and say so. */
void status_reap(struct status *status);

#endif
