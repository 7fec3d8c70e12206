#include "lib/random.h"

#include <assert.h>
#include <errno.h>
#include <sys/random.h>

int random_fill(void *to, size_t size)
{
	ssize_t got;

	assert(size <= RANDOM_MAX);
	do
		got = getrandom(to, size, 0);
	while (got == -1 && errno == EINTR);
	if (got == (ssize_t)size)
		return 0;
	if (got != -1)
		errno = EIO;
	return -1;
}
