/*
 * What a client says to qmail-queued: whole and byte by byte it must mean
 * the same, and what is handed on must be as queue/request.h promises.
 */
#include <assert.h>

#include "lib/checksum.h"
#include "lib/enqueue.h"
#include "lib/qfile.h"
#include "queue/request.h"
#include "tests/fuzz/fuzz.h"

struct told {
	struct str records; /* of this message */
	uint64_t message_len;
	uint32_t message_crc;
	int hellos;
	int ends;
	int code;
};

/* What was taken as complete must be an envelope that a reader takes. */
static void check_complete(const struct told *told)
{
	struct view rest = str_view(&told->records);
	struct record record;
	size_t recipients = 0;
	size_t count = 0;

	while (record_next(&rest, &record) == RECORD_OK) {
		assert((count++ == 0) == (record.type == QFILE_SENDER));
		assert(record.type != QFILE_UID && record.type != QFILE_PID);
		if (record.type != QFILE_RECIPIENT)
			continue;
		recipients++;
		assert(record.value.p[0] == QFILE_WAITING);
		assert(record.value.len <= 1 + QFILE_ADDRESS_MAX);
	}
	assert(rest.len == 0);
	assert(recipients);
}

static void listen_to(struct told *told, struct request *r, struct view input)
{
	struct request_event event;

	for (;;) {
		enum request_kind kind = request_next(r, &input, &event);

		assert(r->piece.len <= ENQUEUE_PIECE_MAX);
		if (kind == REQUEST_MORE)
			return;
		assert(told->code == 0);
		if (kind == REQUEST_HELLO)
			told->hellos++;
		if (kind == REQUEST_MESSAGE) {
			told->message_len += event.bytes.len;
			told->message_crc =
				crc32c(told->message_crc, event.bytes);
		}
		if (kind == REQUEST_RECORDS)
			str_append(&told->records, event.bytes);
		if (kind == REQUEST_END) {
			check_complete(told);
			str_reset(&told->records);
			told->ends++;
		}
		if (kind == REQUEST_BAD)
			told->code = event.code;
		assert(kind != REQUEST_BAD || event.code);
		assert(kind == REQUEST_BAD || kind == REQUEST_END
			       ? told->hellos - told->ends <= 1
			       : told->hellos == told->ends + 1);
	}
}

static void forget(struct told *told, struct request *r)
{
	str_free(&told->records);
	request_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view input = view_make(data, size);
	struct request whole = { 0 };
	struct request pieces = { 0 };
	struct told first = { 0 };
	struct told second = { 0 };

	listen_to(&first, &whole, input);
	for (size_t i = 0; i < size; i++)
		listen_to(&second, &pieces, view_make(data + i, 1));
	assert(first.code == second.code && first.ends == second.ends);
	assert(first.message_len == second.message_len);
	assert(first.message_crc == second.message_crc);
	assert(view_eq(str_view(&first.records), str_view(&second.records)));
	forget(&first, &whole);
	forget(&second, &pieces);
	return 0;
}
