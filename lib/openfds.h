#ifndef LIB_OPENFDS_H
#define LIB_OPENFDS_H

/*
 * How many descriptors this process has open: a resident worker looks
 * whether a job has left one.
 */

#include <stdint.h>

/* 0 where the kernel does not say (before Linux 6.2). */
uint64_t openfds_count(void);

#endif
