#ifndef LIB_CLOCK_H
#define LIB_CLOCK_H

/*
 * The two clocks: monotonic for waiting, wall for dates and retry times.
 *
 * In test builds (VALIJA_TEST) the environment variable VALIJA_TEST_CLOCK
 * may name a file holding a decimal number of seconds, with an optional
 * minus sign: it is added to the wall clock, and read again at each call,
 * so that a test can step the clock of a running system.
 */

#include <stdint.h>

int64_t clock_mono_ms(void);
int64_t clock_wall_us(void);
int64_t clock_wall_s(void);

#endif
