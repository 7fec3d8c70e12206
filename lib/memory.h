#ifndef LIB_MEMORY_H
#define LIB_MEMORY_H

/*
 * Memory that is there, or the program has ended.
 *
 * Where there is none, a program says so and exits 111; what it was at is
 * tried again. A resident one would take everything with it that it has
 * under way, so it may say memory_patient() at its start: then it says so
 * and waits for better times, a minute at most, before it gives up.
 * Children inherit that.
 */

#include <stddef.h>

#include "lib/die.h"

void memory_patient(void);

/*
 * For those that take message after message: what is freed stays with the
 * process, up to MEMORY_KEEP_BYTES at the heap's end, and need not be faulted
 * in again for the next one. Where a fault costs much, on virtual machines,
 * that was two thirds of what a message of 100 KB cost qmail-queued.
 */
#define MEMORY_KEEP_BYTES (4 << 20)
void memory_keep(void);

/* As reallocarray(3) and calloc(3), but never NULL. Freed with free(3). */
void *memory_resize(void *p, size_t count, size_t size) MUST_USE;
void *memory_zeroed(size_t count, size_t size) MUST_USE;

#endif
