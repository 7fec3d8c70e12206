#ifndef LIB_RECORD_H
#define LIB_RECORD_H

/*
 * Type-length-value records: how envelopes, jobs and enqueue requests are
 * written (doc/queue.md, doc/delivery.md).
 *
 *	u64 type | u64 length | `length` bytes        all little-endian
 *
 * A reader keeps or skips types that it does not know.
 *
 *	struct view rest = all;
 *	struct record r;
 *
 *	while ((result = record_next(&rest, &r)) == RECORD_OK)
 *		switch (r.type) ...
 *	if (result == RECORD_BAD) ...
 */

#include <stdint.h>

#include "lib/str.h"

#define RECORD_HEAD_BYTES 16

enum record_result {
	RECORD_OK,
	RECORD_END, /* nothing is left */
	RECORD_BAD, /* a length points past the end, or half a head */
};

struct record {
	uint64_t type;
	struct view value; /* borrowed from the input */
};

enum record_result record_next(struct view *rest,
			       struct record *record) MUST_USE;

void record_append(struct str *to, uint64_t type, struct view value);
void record_append_u64(struct str *to, uint64_t type, uint64_t number);

/* The number in a value of exactly 8 bytes; false otherwise. */
bool record_u64(const struct record *record, uint64_t *number) MUST_USE;

uint64_t le64_read(const void *from);
void le64_write(void *to, uint64_t value);

#endif
