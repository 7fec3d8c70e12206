#include "lib/record.h"

uint64_t le64_read(const void *from)
{
	const unsigned char *b = from;
	uint64_t value = 0;

	for (int i = 7; i >= 0; i--)
		value = value << 8 | b[i];
	return value;
}

void le64_write(void *to, uint64_t value)
{
	unsigned char *b = to;

	for (int i = 0; i < 8; i++)
		b[i] = (unsigned char)(value >> (8 * i));
}

enum record_result record_next(struct view *rest, struct record *record)
{
	uint64_t len;

	if (rest->len == 0)
		return RECORD_END;
	if (rest->len < RECORD_HEAD_BYTES)
		return RECORD_BAD;
	len = le64_read(rest->p + 8);
	if (len > rest->len - RECORD_HEAD_BYTES)
		return RECORD_BAD;
	record->type = le64_read(rest->p);
	record->value = view_make(rest->p + RECORD_HEAD_BYTES, (size_t)len);
	*rest = view_from(*rest, RECORD_HEAD_BYTES + (size_t)len);
	return RECORD_OK;
}

void record_append(struct str *to, uint64_t type, struct view value)
{
	char head[RECORD_HEAD_BYTES];

	le64_write(head, type);
	le64_write(head + 8, value.len);
	str_append(to, view_make(head, sizeof(head)));
	str_append(to, value);
}

void record_append_u64(struct str *to, uint64_t type, uint64_t number)
{
	char bytes[8];

	le64_write(bytes, number);
	record_append(to, type, view_make(bytes, sizeof(bytes)));
}

bool record_u64(const struct record *record, uint64_t *number)
{
	if (record->value.len != 8)
		return false;
	*number = le64_read(record->value.p);
	return true;
}
