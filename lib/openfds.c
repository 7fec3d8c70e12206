#include "lib/openfds.h"

#include <sys/stat.h>

/* Since Linux 6.2 the size of this directory is how many are open. */
uint64_t openfds_count(void)
{
	struct stat st;

	if (stat("/proc/self/fd", &st) == -1 || st.st_size < 0)
		return 0;
	return (uint64_t)st.st_size;
}
