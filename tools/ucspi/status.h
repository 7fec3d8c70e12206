#ifndef TOOLS_UCSPI_STATUS_H
#define TOOLS_UCSPI_STATUS_H

/*
 * The connections being served: one child each, at most `limit`.
 *
 * Children that we did not start (a shell may leave some behind when it
 * execs us) are collected and not counted.
 */

#include <sys/types.h>

#include "tools/ucspi/options.h"

struct status {
	bool verbose;
	unsigned limit;
	unsigned count;
	pid_t *pids; /* the first `count` are in use */
};

void status_init(struct status *status, const struct options *o);
bool status_full(const struct status *status);
/* Count a new child, and say so. */
void status_add(struct status *status, pid_t pid);
/* Collect every child that has ended, and say so. */
void status_reap(struct status *status);

#endif
