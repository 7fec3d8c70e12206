#ifndef SEND_RETRY_H
#define SEND_RETRY_H

/*
 * When to try again: qmail's quadratic schedule. Attempts lie at
 *
 *	birth + (sqrt(age) + skip)^2
 *
 * in seconds, rounded down, skip being 10 for local and 20 for remote
 * deliveries: 0, 400, 1600, 3600 ... seconds after birth for remote ones.
 * A birth in the future (the clock was set back) counts as now.
 */

#include <stdint.h>

#define RETRY_SKIP_LOCAL 10
#define RETRY_SKIP_REMOTE 20

int64_t retry_next(int64_t now, int64_t birth, int64_t skip);

#endif
