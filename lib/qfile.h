#ifndef LIB_QFILE_H
#define LIB_QFILE_H

/*
 * One queue file: message, envelope, footer. doc/queue.md has the bytes.
 *
 * Writing (qmail-queued):
 *
 *	qfile_writer_init(&w, fd);
 *	qfile_write_message(&w, chunk);               as often as needed
 *	qfile_write_records(&w, records);             likewise
 *	qfile_write_footer(&w, id);                   now all is in the file
 *	qfile_writer_free(&w);
 *
 * With fd -1 nothing is written: the buffer holds the image of the file, for
 * the log (lib/qlog.h), until a descriptor is set.
 *
 * Reading (qmail-send, qmail-qread):
 *
 *	if (qfile_open(&q, dirfd, path) == QFILE_OK)
 *		while (qfile_next(&q, &at, &rcpt)) ...
 *	qfile_close(&q);
 *
 * The content may be damaged in any way: a reader never reads past it.
 */

#include <stdint.h>
#include <sys/types.h>

#include "lib/record.h"
#include "lib/str.h"

#define QFILE_FOOTER_BYTES 64
#define QFILE_VERSION 1
#define QFILE_ADDRESS_MAX 1003 /* qmail-queue's limit, code 11 */
#define QFILE_ENVELOPE_MAX                                                     \
	(UINT64_C(256) * 1024 * 1024) /* a reader refuses more */

/* Envelope records. */
enum qfile_type {
	QFILE_SENDER = 1,
	QFILE_UID = 2,
	QFILE_PID = 3,
	QFILE_BODY = 4,
	QFILE_RET = 5,
	QFILE_ENVID = 6,
	QFILE_SMTPUTF8 = 7,
	QFILE_REQUIRETLS = 8,
	QFILE_SESSION = 9,
	QFILE_RECIPIENT = 16,
	QFILE_NOTIFY = 17,
	QFILE_ORCPT = 18,
};

enum qfile_state {
	QFILE_WAITING = 'W',
	QFILE_DELIVERED = 'D',
	QFILE_FAILED = 'X',
};

/* ---- writing ---- */

struct qfile_writer {
	int fd;            /* borrowed; -1: all of it stays in the buffer */
	struct str buffer; /* not yet written; nothing after the footer */
	uint64_t message_len;
	uint32_t message_crc;
	uint64_t envelope_len;
	uint32_t envelope_crc;
};

void qfile_writer_init(struct qfile_writer *w, int fd);
void qfile_writer_free(struct qfile_writer *w);
/* -1 with errno; the file is then worth nothing. */
int qfile_write_message(struct qfile_writer *w, struct view chunk) MUST_USE;
/* Whole, well-formed records; all in all SENDER first, states W. */
int qfile_write_records(struct qfile_writer *w, struct view records) MUST_USE;
int qfile_write_footer(struct qfile_writer *w, uint64_t id) MUST_USE;
/* Both at once. */
int qfile_write_envelope(struct qfile_writer *w, struct view records,
			 uint64_t id) MUST_USE;
/* The id had to change: write the footer anew. */
int qfile_rewrite_footer(struct qfile_writer *w, uint64_t id) MUST_USE;

/* ---- reading ---- */

enum qfile_result {
	QFILE_OK,
	QFILE_EMPTY,  /* size 0 */
	QFILE_ABSENT, /* no such file */
	QFILE_NEWER,  /* of a later format version: leave it alone */
	QFILE_BAD,    /* it does not check */
	QFILE_ERROR,  /* could not be read now; errno */
};

struct qfile {
	int fd;        /* read-write, close-on-exec */
	bool borrowed; /* the descriptor: it is not closed here */
	uint64_t base; /* where in it the message begins; 0 in a file */
	uint64_t id;
	uint64_t message_len;
	uint32_t message_crc;
	struct view sender;  /* into envelope */
	struct str envelope; /* all records */
};

struct qfile_recipient {
	uint64_t number;
	enum qfile_state state; /* an invalid byte reads as waiting */
	struct view address;    /* into the envelope */
	struct view notify;     /* empty when absent */
	struct view orcpt;
	uint64_t state_offset; /* from the message's begin, for qfile_mark() */
};

/* Opens, reads footer and envelope, checks both. Not the message. */
enum qfile_result qfile_open(struct qfile *q, int dirfd,
			     const char *path) MUST_USE;
void qfile_close(struct qfile *q);

/* The same on bytes in memory; q->fd is -1, *q borrows nothing. */
enum qfile_result qfile_parse(struct qfile *q, struct view content) MUST_USE;

/*
 * The same on `length` bytes at `base` of a larger file, a segment of the
 * log, whose descriptor stays the caller's and open. ERROR, BAD or OK.
 */
enum qfile_result qfile_open_at(struct qfile *q, int fd, uint64_t base,
				uint64_t length) MUST_USE;

/* After qfile_parse(): those bytes lie at `base` of fd, the caller's. */
void qfile_borrow(struct qfile *q, int fd, uint64_t base);

/* Read and check the whole message against its checksum. */
enum qfile_result qfile_check_message(const struct qfile *q) MUST_USE;
/* Exactly size bytes of the message, from `at`. BAD: it ends before. */
enum qfile_result qfile_read(const struct qfile *q, char *to, size_t size,
			     uint64_t at) MUST_USE;
/*
 * Write all of it, checked on the way, states as they are in memory, to an
 * empty file, with another id if that has to be. OK, BAD, or ERROR with
 * errno: then that file is worth nothing.
 */
enum qfile_result qfile_copy(const struct qfile *q, int to_fd,
			     uint64_t id) MUST_USE;

/* Walk recipients; start with *at = { 0 }. false at the end. */
struct qfile_cursor {
	size_t offset;
	uint64_t number;
};
bool qfile_next(const struct qfile *q, struct qfile_cursor *at,
		struct qfile_recipient *rcpt);

/* Is there nobody who waits, and nobody who failed? */
bool qfile_is_delivered(const struct qfile *q);

/*
 * A message-level record, e.g. QFILE_BODY; false when absent. They stand
 * before the first recipient; the UID and PID are behind the sender.
 */
bool qfile_find(const struct qfile *q, uint64_t type, struct view *value);

/* Write one state byte. -1 with errno. */
int qfile_mark(const struct qfile *q, uint64_t state_offset,
	       enum qfile_state state) MUST_USE;

#endif
