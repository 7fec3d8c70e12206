#include "lib/qfile.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/checksum.h"
#include "lib/out.h"

#define MAGIC VIEW("valijaQF")
#define PIECE_BYTES 65536

enum footer_at {
	AT_MESSAGE_LEN = 0,
	AT_ENVELOPE_LEN = 8,
	AT_MESSAGE_CRC = 16,
	AT_ENVELOPE_CRC = 24,
	AT_ID = 32,
	AT_VERSION = 40,
	AT_MAGIC = 48,
	AT_FOOTER_CRC = 56,
};

/*
 * Continue a checksum over whole records, leaving out the byte that changes:
 * the state of each recipient.
 */
static uint32_t crc_records(uint32_t crc, struct view records)
{
	struct view rest = records;
	struct record record;
	const char *from = records.p;

	while (record_next(&rest, &record) == RECORD_OK) {
		if (record.type != QFILE_RECIPIENT || record.value.len == 0)
			continue;
		crc = crc32c(crc,
			     view_make(from, (size_t)(record.value.p - from)));
		from = record.value.p + 1;
	}
	if (records.len == 0)
		return crc;
	return crc32c(
		crc, view_make(from, (size_t)(records.p + records.len - from)));
}

/* ---- writing ---- */

void qfile_writer_init(struct qfile_writer *w, int fd)
{
	*w = (struct qfile_writer){
		.fd = fd,
		.message_crc = CRC32C_START,
		.envelope_crc = CRC32C_START,
	};
}

void qfile_writer_free(struct qfile_writer *w)
{
	str_free(&w->buffer);
}

static int flush(struct qfile_writer *w)
{
	int result;

	if (w->fd == -1)
		return 0;
	result = write_all(w->fd, str_view(&w->buffer));
	str_reset(&w->buffer);
	return result;
}

/* Gather small pieces: most messages then need one write. */
static int put(struct qfile_writer *w, struct view v)
{
	if (w->buffer.len + v.len > PIECE_BYTES && flush(w) == -1)
		return -1;
	if (v.len > PIECE_BYTES && w->fd != -1)
		return write_all(w->fd, v);
	str_append(&w->buffer, v);
	return 0;
}

int qfile_write_message(struct qfile_writer *w, struct view chunk)
{
	if (put(w, chunk) == -1)
		return -1;
	w->message_crc = crc32c(w->message_crc, chunk);
	w->message_len += chunk.len;
	return 0;
}

int qfile_write_records(struct qfile_writer *w, struct view records)
{
	if (put(w, records) == -1)
		return -1;
	w->envelope_crc = crc_records(w->envelope_crc, records);
	w->envelope_len += records.len;
	return 0;
}

static void format_footer(const struct qfile_writer *w, uint64_t id,
			  char *footer)
{
	le64_write(footer + AT_MESSAGE_LEN, w->message_len);
	le64_write(footer + AT_ENVELOPE_LEN, w->envelope_len);
	le64_write(footer + AT_MESSAGE_CRC, w->message_crc);
	le64_write(footer + AT_ENVELOPE_CRC, w->envelope_crc);
	le64_write(footer + AT_ID, id);
	le64_write(footer + AT_VERSION, QFILE_VERSION);
	memcpy(footer + AT_MAGIC, MAGIC.p, MAGIC.len);
	le64_write(footer + AT_FOOTER_CRC,
		   crc32c(CRC32C_START, view_make(footer, AT_FOOTER_CRC)));
}

int qfile_write_footer(struct qfile_writer *w, uint64_t id)
{
	char footer[QFILE_FOOTER_BYTES];

	format_footer(w, id, footer);
	if (put(w, view_make(footer, sizeof(footer))) == -1)
		return -1;
	return flush(w);
}

int qfile_write_envelope(struct qfile_writer *w, struct view records,
			 uint64_t id)
{
	if (qfile_write_records(w, records) == -1)
		return -1;
	return qfile_write_footer(w, id);
}

static int pwrite_all(int fd, const char *from, size_t size, uint64_t at)
{
	while (size) {
		ssize_t done = pwrite(fd, from, size, (off_t)at);

		if (done == -1 && errno == EINTR)
			continue;
		if (done == -1)
			return -1;
		from += done;
		at += (uint64_t)done;
		size -= (size_t)done;
	}
	return 0;
}

int qfile_rewrite_footer(struct qfile_writer *w, uint64_t id)
{
	char footer[QFILE_FOOTER_BYTES];

	format_footer(w, id, footer);
	if (w->fd == -1) {
		str_truncate(&w->buffer, w->message_len + w->envelope_len);
		str_append(&w->buffer, view_make(footer, sizeof(footer)));
		return 0;
	}
	return pwrite_all(w->fd, footer, sizeof(footer),
			  w->message_len + w->envelope_len);
}

int qfile_mark(const struct qfile *q, uint64_t state_offset,
	       enum qfile_state state)
{
	char byte = (char)state;

	return pwrite_all(q->fd, &byte, 1, q->base + state_offset);
}

/* ---- reading ---- */

/*
 * The footer of a file of `size` bytes; *envelope_len is what it says. What
 * does not check by its own sum is nobody's file; a later version may mean
 * anything by the rest.
 */
static enum qfile_result read_footer(struct qfile *q, const char *footer,
				     uint64_t size, uint64_t *envelope_len,
				     uint32_t *envelope_crc)
{
	uint64_t message_crc = le64_read(footer + AT_MESSAGE_CRC);
	uint64_t crc = le64_read(footer + AT_ENVELOPE_CRC);
	uint64_t version = le64_read(footer + AT_VERSION);
	uint64_t total;

	if (!view_eq(view_make(footer + AT_MAGIC, MAGIC.len), MAGIC) ||
	    le64_read(footer + AT_FOOTER_CRC) !=
		    crc32c(CRC32C_START, view_make(footer, AT_FOOTER_CRC)))
		return QFILE_BAD;
	if (version > QFILE_VERSION)
		return QFILE_NEWER;
	q->message_len = le64_read(footer + AT_MESSAGE_LEN);
	q->id = le64_read(footer + AT_ID);
	*envelope_len = le64_read(footer + AT_ENVELOPE_LEN);
	if (version != QFILE_VERSION || message_crc > UINT32_MAX ||
	    crc > UINT32_MAX || *envelope_len > QFILE_ENVELOPE_MAX ||
	    __builtin_add_overflow(q->message_len,
				   *envelope_len + QFILE_FOOTER_BYTES,
				   &total) ||
	    total != size)
		return QFILE_BAD;
	q->message_crc = (uint32_t)message_crc;
	*envelope_crc = (uint32_t)crc;
	return QFILE_OK;
}

static bool address_is_sound(struct view address)
{
	return !view_has(address, '\0');
}

/* May `record` stand here? recipients: how many came before it. */
static bool record_fits(const struct record *record, bool first,
			uint64_t *recipients)
{
	if (first != (record->type == QFILE_SENDER))
		return false;
	switch (record->type) {
	case QFILE_SENDER:
		return address_is_sound(record->value);
	case QFILE_RECIPIENT:
		(*recipients)++;
		return record->value.len > 0 &&
		       address_is_sound(view_from(record->value, 1));
	case QFILE_NOTIFY:
	case QFILE_ORCPT:
		return *recipients > 0;
	default:
		return true;
	}
}

static bool check_records(struct qfile *q)
{
	struct view rest = str_view(&q->envelope);
	uint64_t recipients = 0;
	bool first = true;
	struct record record;
	enum record_result result;

	while ((result = record_next(&rest, &record)) == RECORD_OK) {
		if (!record_fits(&record, first, &recipients))
			return false;
		if (first)
			q->sender = record.value;
		first = false;
	}
	return result == RECORD_END && recipients > 0;
}

static enum qfile_result check_envelope(struct qfile *q, uint32_t crc)
{
	if (crc_records(CRC32C_START, str_view(&q->envelope)) != crc ||
	    !check_records(q))
		return QFILE_BAD;
	return QFILE_OK;
}

/* Exactly size bytes at `at`: OK, BAD when the file ends before, ERROR. */
static enum qfile_result read_at(int fd, char *to, size_t size, uint64_t at)
{
	while (size) {
		ssize_t got = pread(fd, to, size, (off_t)at);

		if (got == -1 && errno == EINTR)
			continue;
		if (got == -1)
			return QFILE_ERROR;
		if (got == 0)
			return QFILE_BAD;
		to += got;
		at += (uint64_t)got;
		size -= (size_t)got;
	}
	return QFILE_OK;
}

static enum qfile_result load(struct qfile *q, uint64_t size)
{
	char footer[QFILE_FOOTER_BYTES];
	enum qfile_result result;
	uint64_t envelope_len;
	uint32_t envelope_crc;

	if (size == 0)
		return QFILE_EMPTY;
	if (size < sizeof(footer))
		return QFILE_BAD;
	result = read_at(q->fd, footer, sizeof(footer),
			 q->base + size - sizeof(footer));
	if (result == QFILE_OK)
		result = read_footer(q, footer, size, &envelope_len,
				     &envelope_crc);
	if (result != QFILE_OK)
		return result;
	str_reserve(&q->envelope, envelope_len);
	result = read_at(q->fd, q->envelope.p, envelope_len,
			 q->base + q->message_len);
	if (result != QFILE_OK)
		return result;
	q->envelope.len = envelope_len;
	return check_envelope(q, envelope_crc);
}

enum qfile_result qfile_open(struct qfile *q, int dirfd, const char *path)
{
	enum qfile_result result;
	struct stat st;

	*q = (struct qfile){ .fd = -1 };
	q->fd = openat(dirfd, path,
		       O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (q->fd == -1) {
		if (errno == ENOENT)
			return QFILE_ABSENT;
		/* A link, a directory, a socket: no queue file. */
		return errno == ELOOP || errno == EISDIR || errno == ENXIO
			       ? QFILE_BAD
			       : QFILE_ERROR;
	}
	if (fstat(q->fd, &st) == -1)
		result = QFILE_ERROR;
	else if (!S_ISREG(st.st_mode))
		result = QFILE_BAD;
	else
		result = load(q, (uint64_t)st.st_size);
	if (result != QFILE_OK)
		qfile_close(q);
	return result;
}

void qfile_close(struct qfile *q)
{
	int error = errno;

	if (q->fd != -1 && !q->borrowed)
		close(q->fd);
	str_free(&q->envelope);
	*q = (struct qfile){ .fd = -1 };
	errno = error;
}

enum qfile_result qfile_parse(struct qfile *q, struct view content)
{
	enum qfile_result result;
	uint64_t envelope_len;
	uint32_t envelope_crc;

	*q = (struct qfile){ .fd = -1 };
	if (content.len == 0)
		return QFILE_EMPTY;
	if (content.len < QFILE_FOOTER_BYTES)
		return QFILE_BAD;
	result = read_footer(q, content.p + content.len - QFILE_FOOTER_BYTES,
			     content.len, &envelope_len, &envelope_crc);
	if (result == QFILE_OK) {
		str_set(&q->envelope,
			view_first(view_from(content, q->message_len),
				   envelope_len));
		result = check_envelope(q, envelope_crc);
	}
	if (result != QFILE_OK)
		qfile_close(q);
	return result;
}

enum qfile_result qfile_open_at(struct qfile *q, int fd, uint64_t base,
				uint64_t length)
{
	enum qfile_result result;

	*q = (struct qfile){ .fd = fd, .borrowed = true, .base = base };
	result = load(q, length);
	if (result == QFILE_EMPTY)
		result = QFILE_BAD;
	if (result != QFILE_OK)
		qfile_close(q);
	return result;
}

void qfile_borrow(struct qfile *q, int fd, uint64_t base)
{
	q->fd = fd;
	q->borrowed = true;
	q->base = base;
}

enum qfile_result qfile_read(const struct qfile *q, char *to, size_t size,
			     uint64_t at)
{
	return read_at(q->fd, to, size, q->base + at);
}

/* The message, piece by piece, into a writer; OK, BAD or ERROR. */
static enum qfile_result read_message(const struct qfile *q,
				      struct qfile_writer *w)
{
	char piece[PIECE_BYTES];

	while (w->message_len < q->message_len) {
		uint64_t left = q->message_len - w->message_len;
		size_t size = left < sizeof(piece) ? left : sizeof(piece);
		enum qfile_result result =
			qfile_read(q, piece, size, w->message_len);

		if (result != QFILE_OK)
			return result;
		if (qfile_write_message(w, view_make(piece, size)) == -1)
			return QFILE_ERROR;
		if (w->fd == -1)
			str_reset(&w->buffer); /* only its sum is wanted */
	}
	return w->message_crc == q->message_crc ? QFILE_OK : QFILE_BAD;
}

enum qfile_result qfile_check_message(const struct qfile *q)
{
	struct qfile_writer w;
	enum qfile_result result;

	qfile_writer_init(&w, -1);
	result = read_message(q, &w);
	qfile_writer_free(&w);
	return result;
}

enum qfile_result qfile_copy(const struct qfile *q, int to_fd, uint64_t id)
{
	struct qfile_writer w;
	enum qfile_result result;

	qfile_writer_init(&w, to_fd);
	result = read_message(q, &w);
	if (result == QFILE_OK &&
	    qfile_write_envelope(&w, str_view(&q->envelope), id) == -1)
		result = QFILE_ERROR;
	qfile_writer_free(&w);
	return result;
}

static enum qfile_state state_of(char byte)
{
	if (byte == QFILE_DELIVERED)
		return QFILE_DELIVERED;
	if (byte == QFILE_FAILED)
		return QFILE_FAILED;
	return QFILE_WAITING;
}

/* What belongs to the recipient just found, up to the next one. */
static void take_params(const struct qfile *q, struct qfile_cursor *at,
			struct qfile_recipient *rcpt)
{
	struct view rest = view_from(str_view(&q->envelope), at->offset);
	struct record record;

	while (record_next(&rest, &record) == RECORD_OK &&
	       record.type != QFILE_RECIPIENT) {
		if (record.type == QFILE_NOTIFY)
			rcpt->notify = record.value;
		if (record.type == QFILE_ORCPT)
			rcpt->orcpt = record.value;
		at->offset = q->envelope.len - rest.len;
	}
}

bool qfile_next(const struct qfile *q, struct qfile_cursor *at,
		struct qfile_recipient *rcpt)
{
	struct view rest = view_from(str_view(&q->envelope), at->offset);
	struct record record;

	while (record_next(&rest, &record) == RECORD_OK) {
		at->offset = q->envelope.len - rest.len;
		if (record.type != QFILE_RECIPIENT)
			continue;
		*rcpt = (struct qfile_recipient){
			.number = at->number++,
			.state = state_of(record.value.p[0]),
			.address = view_from(record.value, 1),
			.state_offset =
				q->message_len +
				(uint64_t)(record.value.p - q->envelope.p),
		};
		take_params(q, at, rcpt);
		return true;
	}
	return false;
}

bool qfile_is_delivered(const struct qfile *q)
{
	struct qfile_cursor at = { 0 };
	struct qfile_recipient rcpt;

	while (qfile_next(q, &at, &rcpt))
		if (rcpt.state != QFILE_DELIVERED)
			return false;
	return true;
}

bool qfile_find(const struct qfile *q, uint64_t type, struct view *value)
{
	struct view rest = str_view(&q->envelope);
	struct record record;

	while (record_next(&rest, &record) == RECORD_OK &&
	       record.type != QFILE_RECIPIENT) {
		if (record.type == type) {
			*value = record.value;
			return true;
		}
	}
	return false;
}
