#include "lib/tai.h"

#include "lib/clock.h"

/* 1970-01-01 00:00:10 TAI, which was the Unix epoch. */
#define TAI_EPOCH (((uint64_t)1 << 62) + 10)
#define TAI_RESERVED ((uint64_t)1 << 63) /* labels from here on mean nothing */

struct tai tai_from_unix(int64_t s, uint32_t nanos)
{
	return (struct tai){ TAI_EPOCH + (uint64_t)s, nanos };
}

int64_t tai_to_unix(struct tai tai)
{
	return (int64_t)(tai.seconds - TAI_EPOCH);
}

struct tai tai_now(void)
{
	int64_t us = clock_wall_us();
	int64_t s = us / 1000000;

	us %= 1000000;
	if (us < 0) {
		us += 1000000;
		s--;
	}
	return tai_from_unix(s, (uint32_t)us * 1000);
}

static void pack(char *to, uint64_t value, int bytes)
{
	for (int i = bytes - 1; i >= 0; i--) {
		to[i] = (char)(value & 255);
		value >>= 8;
	}
}

static uint64_t unpack(const char *from, int bytes)
{
	uint64_t value = 0;

	for (int i = 0; i < bytes; i++)
		value = value << 8 | (unsigned char)from[i];
	return value;
}

void tai_pack(char to[TAI_PACK_BYTES], struct tai tai)
{
	pack(to, tai.seconds, 8);
	pack(to + 8, tai.nanos, 4);
}

struct tai tai_unpack(const char from[TAI_PACK_BYTES])
{
	return (struct tai){ unpack(from, 8), (uint32_t)unpack(from + 8, 4) };
}

void tai_format(struct str *to, struct tai tai)
{
	static const char digits[] = "0123456789abcdef";
	char packed[TAI_PACK_BYTES];
	char text[TAI_LABEL_BYTES];

	tai_pack(packed, tai);
	text[0] = '@';
	for (size_t i = 0; i < sizeof(packed); i++) {
		text[1 + 2 * i] = digits[packed[i] >> 4 & 15];
		text[2 + 2 * i] = digits[packed[i] & 15];
	}
	str_append(to, view_make(text, sizeof(text)));
}

static bool is_lower_hex(struct view v)
{
	for (size_t i = 0; i < v.len; i++)
		if (!(v.p[i] >= '0' && v.p[i] <= '9') &&
		    !(v.p[i] >= 'a' && v.p[i] <= 'f'))
			return false;
	return true;
}

bool tai_parse(struct view v, struct tai *tai)
{
	uint64_t seconds;
	uint64_t nanos;

	if (v.len < TAI_LABEL_BYTES || v.p[0] != '@')
		return false;
	v = view_first(view_from(v, 1), TAI_LABEL_BYTES - 1);
	if (!is_lower_hex(v) || !view_hex64(view_first(v, 16), &seconds) ||
	    !view_hex64(view_from(v, 16), &nanos) || seconds >= TAI_RESERVED ||
	    nanos > 999999999)
		return false;
	*tai = (struct tai){ seconds, (uint32_t)nanos };
	return true;
}
