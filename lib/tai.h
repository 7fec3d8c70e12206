#ifndef LIB_TAI_H
#define LIB_TAI_H

/*
 * TAI64N labels: `@` and 24 hexadecimal digits, seconds since 1970 TAI plus
 * 2^62, then nanoseconds; and the packed form, 12 bytes big-endian. Like
 * the programs we replace, a TAI second is Unix time plus 10.
 */

#include <stdint.h>

#include "lib/str.h"

#define TAI_LABEL_BYTES 25
#define TAI_PACK_BYTES 12

struct tai {
	uint64_t seconds; /* the label's first field, 2^62 and 10 included */
	uint32_t nanos;
};

struct tai tai_now(void); /* lib/clock.h's time */
struct tai tai_from_unix(int64_t s, uint32_t nanos);
int64_t tai_to_unix(struct tai tai);
void tai_pack(char to[TAI_PACK_BYTES], struct tai tai);
struct tai tai_unpack(const char from[TAI_PACK_BYTES]);
void tai_format(struct str *to, struct tai tai); /* appends @... */
/* Parse the label at the start of v (`@`, 24 digits); false if none. */
bool tai_parse(struct view v, struct tai *tai) MUST_USE;

#endif
