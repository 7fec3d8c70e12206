#include "lib/qlog.h"

#include <errno.h>
#include <unistd.h>

#include "lib/checksum.h"
#include "lib/record.h"

#define HEADER_MAGIC VIEW("valijaLG")
#define HEAD_MAGIC VIEW("valijaLR")
#define ALIGN 8

enum header_at {
	HEADER_AT_MAGIC = 0,
	HEADER_AT_VERSION = 8,
	HEADER_AT_GENERATION = 16,
	HEADER_AT_LATEST_ID = 24,
	HEADER_AT_CRC = 32, /* of what is before */
	HEADER_END = 40,
};

enum head_at {
	HEAD_AT_MAGIC = 0,
	HEAD_AT_GENERATION = 8,
	HEAD_AT_OFFSET = 16,
	HEAD_AT_LENGTH = 24,
	HEAD_AT_CRC = 32, /* of what is before */
	HEAD_AT_STATE = 40,
	HEAD_END = 48,
};

void qlog_path(struct str *path, uint64_t number)
{
	str_reset(path);
	str_appendf(path, QLOG_FOLDER "/%lu", (unsigned long)number);
}

/* ---- the header of a segment ---- */

static uint64_t crc_of(const char *bytes, size_t size)
{
	return crc32c(CRC32C_START, view_make(bytes, size));
}

void qlog_format_header(struct str *to, uint64_t generation, uint64_t latest_id)
{
	char header[QLOG_HEADER_BYTES] = { 0 };

	memcpy(header + HEADER_AT_MAGIC, HEADER_MAGIC.p, HEADER_MAGIC.len);
	le64_write(header + HEADER_AT_VERSION, QLOG_VERSION);
	le64_write(header + HEADER_AT_GENERATION, generation);
	le64_write(header + HEADER_AT_LATEST_ID, latest_id);
	le64_write(header + HEADER_AT_CRC, crc_of(header, HEADER_AT_CRC));
	str_append(to, view_make(header, sizeof(header)));
}

static bool is_blank(struct view bytes)
{
	for (size_t i = 0; i < bytes.len; i++)
		if (bytes.p[i])
			return false;
	return true;
}

enum qlog_result qlog_parse_header(struct view bytes, uint64_t *generation,
				   uint64_t *latest_id)
{
	uint64_t version;

	if (bytes.len < QLOG_HEADER_BYTES)
		return is_blank(bytes) ? QLOG_BLANK : QLOG_BAD;
	if (!view_starts(bytes, HEADER_MAGIC))
		return is_blank(view_first(bytes, QLOG_HEADER_BYTES))
			       ? QLOG_BLANK
			       : QLOG_BAD;
	if (le64_read(bytes.p + HEADER_AT_CRC) !=
	    crc_of(bytes.p, HEADER_AT_CRC))
		return QLOG_BAD;
	version = le64_read(bytes.p + HEADER_AT_VERSION);
	if (version > QLOG_VERSION)
		return QLOG_NEWER;
	*generation = le64_read(bytes.p + HEADER_AT_GENERATION);
	*latest_id = le64_read(bytes.p + HEADER_AT_LATEST_ID);
	return version == QLOG_VERSION ? QLOG_OK : QLOG_BAD;
}

/* Up to size bytes from `at`; fewer at the end of the file. -1 with errno. */
static int read_up_to(int fd, struct str *to, size_t size, uint64_t at)
{
	str_reset(to);
	str_reserve(to, size);
	while (to->len < size) {
		ssize_t got = pread(fd, to->p + to->len, size - to->len,
				    (off_t)(at + to->len));

		if (got == -1 && errno == EINTR)
			continue;
		if (got == -1)
			return -1;
		if (got == 0)
			break;
		to->len += (size_t)got;
	}
	return 0;
}

enum qlog_result qlog_read_header(int fd, uint64_t *generation,
				  uint64_t *latest_id)
{
	struct str bytes = { 0 };
	enum qlog_result result = QLOG_ERROR;

	if (read_up_to(fd, &bytes, QLOG_HEADER_BYTES, 0) == 0)
		result = qlog_parse_header(str_view(&bytes), generation,
					   latest_id);
	str_free(&bytes);
	return result;
}

/* ---- the head of a record ---- */

void qlog_format_head(struct str *to, uint64_t generation, uint64_t offset,
		      uint64_t length)
{
	char head[QLOG_HEAD_BYTES] = { 0 };

	memcpy(head + HEAD_AT_MAGIC, HEAD_MAGIC.p, HEAD_MAGIC.len);
	le64_write(head + HEAD_AT_GENERATION, generation);
	le64_write(head + HEAD_AT_OFFSET, offset);
	le64_write(head + HEAD_AT_LENGTH, length);
	le64_write(head + HEAD_AT_CRC, crc_of(head, HEAD_AT_CRC));
	head[HEAD_AT_STATE] = QLOG_LIVE;
	str_append(to, view_make(head, sizeof(head)));
}

static enum qlog_state state_of(char byte)
{
	if (byte == QLOG_MOVED)
		return QLOG_MOVED;
	if (byte == QLOG_CANCELLED)
		return QLOG_CANCELLED;
	return QLOG_LIVE;
}

bool qlog_parse_head(struct view bytes, uint64_t generation, uint64_t offset,
		     struct qlog_head *head)
{
	if (bytes.len < QLOG_HEAD_BYTES || !view_starts(bytes, HEAD_MAGIC))
		return false;
	*head = (struct qlog_head){
		.generation = le64_read(bytes.p + HEAD_AT_GENERATION),
		.offset = le64_read(bytes.p + HEAD_AT_OFFSET),
		.length = le64_read(bytes.p + HEAD_AT_LENGTH),
		.state = state_of(bytes.p[HEAD_AT_STATE]),
	};
	return head->generation == generation && head->offset == offset &&
	       head->length <= QLOG_IMAGE_MAX &&
	       le64_read(bytes.p + HEAD_AT_CRC) == crc_of(bytes.p, HEAD_AT_CRC);
}

uint64_t qlog_image_at(uint64_t offset)
{
	return offset + QLOG_HEAD_BYTES;
}

uint64_t qlog_next(uint64_t offset, uint64_t length)
{
	uint64_t end = qlog_image_at(offset) + length;

	return (end + ALIGN - 1) / ALIGN * ALIGN;
}

int qlog_mark(int fd, uint64_t offset, enum qlog_state state)
{
	char byte = (char)state;
	ssize_t done;

	do
		done = pwrite(fd, &byte, 1, (off_t)(offset + HEAD_AT_STATE));
	while (done == -1 && errno == EINTR);
	return done == 1 ? 0 : -1;
}

/* ---- reading a whole segment ---- */

enum qlog_result qlog_scan_open(struct qlog_scan *scan, int fd)
{
	*scan = (struct qlog_scan){ .offset = QLOG_HEADER_BYTES };
	if (read_up_to(fd, &scan->bytes, QLOG_SEGMENT_BYTES, 0) == -1)
		return QLOG_ERROR;
	return qlog_parse_header(str_view(&scan->bytes), &scan->generation,
				 &scan->latest_id);
}

bool qlog_scan_next(struct qlog_scan *scan, struct qlog_head *head,
		    struct view *image)
{
	struct view all = str_view(&scan->bytes);

	for (; scan->offset + QLOG_HEAD_BYTES <= all.len;
	     scan->offset += ALIGN) {
		uint64_t at = scan->offset;

		if (!qlog_parse_head(view_from(all, at), scan->generation, at,
				     head))
			continue;
		/* Cut short: still a record, whose image will not check. */
		*image = view_first(view_from(all, qlog_image_at(at)),
				    head->length);
		scan->offset = qlog_next(at, head->length);
		return true;
	}
	return false;
}

void qlog_scan_close(struct qlog_scan *scan)
{
	str_free(&scan->bytes);
	*scan = (struct qlog_scan){ 0 };
}
