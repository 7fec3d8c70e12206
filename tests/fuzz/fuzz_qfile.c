/*
 * A queue file: whatever it holds, a reader stays within it. The input is
 * tried as it is, and as message and envelope with a footer that checks.
 */
#include <assert.h>

#include "lib/checksum.h"
#include "lib/qfile.h"
#include "tests/fuzz/fuzz.h"

static void walk(const struct qfile *q)
{
	struct qfile_cursor at = { 0 };
	struct qfile_recipient rcpt;
	struct view value;
	uint64_t count = 0;

	while (qfile_next(q, &at, &rcpt)) {
		assert(rcpt.number == count++);
		assert(rcpt.state_offset >= q->message_len);
		assert(rcpt.state_offset < q->message_len + q->envelope.len);
		assert(!view_has(rcpt.address, '\0'));
	}
	assert(count > 0);
	if (qfile_find(q, QFILE_BODY, &value))
		assert(value.len <= q->envelope.len);
}

static void parse(struct view content)
{
	struct qfile q;

	if (qfile_parse(&q, content) != QFILE_OK)
		return;
	walk(&q);
	qfile_close(&q);
}

/* The first byte says how much is message; the sums are made right. */
static void parse_signed(struct view input)
{
	struct str file = { 0 };
	struct view message;
	struct view envelope;
	struct view rest;
	struct record record;
	char footer[QFILE_FOOTER_BYTES] = { 0 };
	uint32_t crc = CRC32C_START;
	const char *from;

	message = view_first(view_from(input, 1), (unsigned char)input.p[0]);
	envelope = view_from(input, 1 + message.len);
	rest = envelope;
	from = envelope.p;
	while (record_next(&rest, &record) == RECORD_OK)
		if (record.type == QFILE_RECIPIENT && record.value.len) {
			crc = crc32c(crc,
				     view_make(from, (size_t)(record.value.p -
							      from)));
			from = record.value.p + 1;
		}
	crc = crc32c(crc, view_make(from, (size_t)(envelope.p + envelope.len -
						   from)));
	le64_write(footer, message.len);
	le64_write(footer + 8, envelope.len);
	le64_write(footer + 16, crc32c(CRC32C_START, message));
	le64_write(footer + 24, crc);
	le64_write(footer + 40, QFILE_VERSION);
	memcpy(footer + 48, "valijaQF", 8);
	le64_write(footer + 56, crc32c(CRC32C_START, view_make(footer, 56)));
	str_append(&file, message);
	str_append(&file, envelope);
	str_append(&file, view_make(footer, sizeof(footer)));
	parse(str_view(&file));
	str_free(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	parse(view_make(data, size));
	if (size)
		parse_signed(view_make(data, size));
	return 0;
}
