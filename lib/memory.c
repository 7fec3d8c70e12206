#include "lib/memory.h"

#include <malloc.h>
#include <poll.h>
#include <stdlib.h>

#define WAIT_MS 1000
#define WAITS_MAX 60

static int waits_max;

void memory_patient(void)
{
	waits_max = WAITS_MAX;
}

void memory_keep(void)
{
	/* Larger than that comes from mmap, and goes back. */
	mallopt(M_MMAP_THRESHOLD, MEMORY_KEEP_BYTES);
	mallopt(M_TRIM_THRESHOLD, MEMORY_KEEP_BYTES);
}

/* Wait for memory, or end when that has no prospect. */
static void wait_or_die(int waits, size_t count, size_t size)
{
	size_t bytes;

	if (waits >= waits_max || __builtin_mul_overflow(count, size, &bytes) ||
	    bytes > PTRDIFF_MAX)
		die(EXIT_RETRY, "out of memory");
	if (waits == 0)
		warn("out of memory, waiting");
	poll(NULL, 0, WAIT_MS);
}

void *memory_resize(void *p, size_t count, size_t size)
{
	for (int waits = 0;; waits++) {
		void *resized = reallocarray(p, count, size);

		if (resized)
			return resized;
		wait_or_die(waits, count, size);
	}
}

void *memory_zeroed(size_t count, size_t size)
{
	for (int waits = 0;; waits++) {
		void *zeroed = calloc(count, size);

		if (zeroed)
			return zeroed;
		wait_or_die(waits, count, size);
	}
}
