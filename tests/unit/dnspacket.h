#ifndef TESTS_UNIT_DNSPACKET_H
#define TESTS_UNIT_DNSPACKET_H

/*
 * Answers of DNS, put together as a server would, or as it should not.
 */

#include <arpa/nameser.h>

#include "lib/str.h"

#define ANSWER_FLAGS 0x8180U /* a response, recursion wanted and there */

static inline void put_16(struct str *s, unsigned value)
{
	str_append_byte(s, (char)(value >> 8));
	str_append_byte(s, (char)(value & 255));
}

static inline void put_header(struct str *s, unsigned id, unsigned flags,
			      unsigned answers)
{
	put_16(s, id);
	put_16(s, flags);
	put_16(s, 1);
	put_16(s, answers);
	put_16(s, 0);
	put_16(s, 0);
}

/* Labels of plain letters. */
static inline void put_name(struct str *s, const char *name)
{
	struct view rest = view_of(name);

	while (rest.len) {
		struct view label = view_cut(&rest, '.');

		str_append_byte(s, (char)label.len);
		str_append(s, label);
	}
	str_append_byte(s, '\0');
}

static inline void put_question(struct str *s, const char *name, unsigned type)
{
	put_name(s, name);
	put_16(s, type);
	put_16(s, ns_c_in);
}

/* What stands behind the name of a record. */
static inline void put_data(struct str *s, unsigned type, struct view data)
{
	put_16(s, type);
	put_16(s, ns_c_in);
	put_16(s, 0);
	put_16(s, 60);
	put_16(s, (unsigned)data.len);
	str_append(s, data);
}

static inline void put_record(struct str *s, const char *name, unsigned type,
			      struct view data)
{
	put_name(s, name);
	put_data(s, type, data);
}

#endif
