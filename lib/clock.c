#include "lib/clock.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "lib/str.h"

_Static_assert(sizeof(time_t) == 8, "times after 2038 need 64 bits");
_Static_assert(sizeof(off_t) == 8, "large files need 64 bits");

int64_t clock_mono_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

#ifdef VALIJA_TEST
static int64_t test_offset_s(void)
{
	const char *path = getenv("VALIJA_TEST_CLOCK");
	char text[32];
	struct view digits;
	uint64_t offset;
	ssize_t got;
	int fd;

	if (!path)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return 0;
	got = read(fd, text, sizeof(text));
	close(fd);
	digits = view_make(text, got > 0 ? (size_t)got : 0);
	if (view_ends(digits, VIEW("\n")))
		digits.len--;
	if (view_starts(digits, VIEW("-")))
		return view_u64(view_from(digits, 1), &offset)
			       ? -(int64_t)offset
			       : 0;
	return view_u64(digits, &offset) ? (int64_t)offset : 0;
}
#else
static int64_t test_offset_s(void)
{
	return 0;
}
#endif

int64_t clock_wall_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return ((int64_t)now.tv_sec + test_offset_s()) * 1000000 +
	       now.tv_nsec / 1000;
}

int64_t clock_wall_s(void)
{
	return clock_wall_us() / 1000000;
}
