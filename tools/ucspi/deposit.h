#ifndef TOOLS_UCSPI_DEPOSIT_H
#define TOOLS_UCSPI_DEPOSIT_H

/*
 * The listening socket that our supervise keeps for us (lib/keep.h).
 *
 *	deposit_open(&deposit);
 *	fd = deposit_take(&deposit, key);       -1: there is none
 *	if (fd == -1) {
 *		...bind and listen...
 *		deposit_leave(&deposit, key, fd);
 *	}
 *	deposit_close(&deposit);
 *
 * Started by anybody else, in whatever directory, there is nothing to be had
 * and nothing happens; nor does anything when supervise does not answer.
 */

#include "lib/str.h"

struct deposit {
	int sock; /* -1: no supervise of ours */
};

void deposit_open(struct deposit *deposit);
int deposit_take(struct deposit *deposit, struct view key) MUST_USE;
void deposit_leave(struct deposit *deposit, struct view key, int fd);
void deposit_close(struct deposit *deposit);

#endif
