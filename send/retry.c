#include "send/retry.h"

/* The largest n with n * n <= x; x >= 0. */
static int64_t square_root(int64_t x)
{
	int64_t root = 0;

	for (int64_t bit = INT64_C(1) << 31; bit; bit >>= 1)
		if ((root + bit) * (root + bit) <= x)
			root += bit;
	return root;
}

int64_t retry_next(int64_t now, int64_t birth, int64_t skip)
{
	int64_t age = now > birth ? now - birth : 0;
	int64_t n;

	/* Two thousand years: far beyond what any clock may say. */
	if (age > INT64_C(1) << 36)
		age = INT64_C(1) << 36;
	n = square_root(age) + skip;
	return now + n * n - age;
}
