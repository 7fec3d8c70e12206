#ifndef LIB_QLOG_H
#define LIB_QLOG_H

/*
 * The queue's log: segments queue/log/0, 1, 2 ... of one size, written again
 * and again. doc/queue.md has the bytes.
 *
 *	header, 4,096 bytes | record | record | ...
 *	record = head, 64 bytes | image | up to 7 bytes to a multiple of 8
 *	image = what a queue file of this message would hold (lib/qfile.h)
 *
 * A segment that is used again gets a new generation, and so have its
 * records: what is left of older ones is none. Content may be damaged in any
 * way: a reader never reads past it.
 *
 *	struct qlog_scan scan;
 *
 *	if (qlog_scan_open(&scan, fd) == QLOG_OK)
 *		while (qlog_scan_next(&scan, &head, &image)) ...
 *	qlog_scan_close(&scan);
 */

#include <stdint.h>

#include "lib/str.h"

#define QLOG_VERSION 1
#define QLOG_FOLDER "queue/log"
#define QLOG_SEGMENTS_MAX 16
#define QLOG_SEGMENT_BYTES (UINT64_C(4) << 20)
#define QLOG_HEADER_BYTES 4096
#define QLOG_HEAD_BYTES 64
/* A longer image is a file. */
#define QLOG_IMAGE_MAX (UINT64_C(1) << 20)

/* One byte of a record's head, outside its checksum. */
enum qlog_state {
	QLOG_LIVE = 'L',      /* the states of its recipients count */
	QLOG_MOVED = 'M',     /* mess/ has it, or had it */
	QLOG_CANCELLED = 'C', /* it was never accepted */
};

struct qlog_head {
	uint64_t generation;
	uint64_t offset;       /* of the head, in the segment */
	uint64_t length;       /* of the image */
	enum qlog_state state; /* an invalid byte reads as LIVE */
};

enum qlog_result {
	QLOG_OK,
	QLOG_BLANK, /* never used */
	QLOG_NEWER, /* of a later format version: leave it alone */
	QLOG_BAD,   /* no segment */
	QLOG_ERROR, /* could not be read now; errno */
};

/* queue/log/<number>; path is overwritten. */
void qlog_path(struct str *path, uint64_t number);

/* Appends QLOG_HEADER_BYTES. latest_id: ids given so far are not above. */
void qlog_format_header(struct str *to, uint64_t generation,
			uint64_t latest_id);
enum qlog_result qlog_parse_header(struct view bytes, uint64_t *generation,
				   uint64_t *latest_id) MUST_USE;
/* The same from the beginning of a file. */
enum qlog_result qlog_read_header(int fd, uint64_t *generation,
				  uint64_t *latest_id) MUST_USE;

/* Appends QLOG_HEAD_BYTES, state LIVE. */
void qlog_format_head(struct str *to, uint64_t generation, uint64_t offset,
		      uint64_t length);
/* False where there is no head of this generation and place. */
bool qlog_parse_head(struct view bytes, uint64_t generation, uint64_t offset,
		     struct qlog_head *head) MUST_USE;

/* Where the image is, and where the next record would begin. */
uint64_t qlog_image_at(uint64_t offset);
uint64_t qlog_next(uint64_t offset, uint64_t length);

/* Write the state byte of a record. -1 with errno. */
int qlog_mark(int fd, uint64_t offset, enum qlog_state state) MUST_USE;

/* ---- reading a whole segment ---- */

struct qlog_scan {
	struct str bytes; /* all of it */
	uint64_t generation;
	uint64_t latest_id;
	uint64_t offset; /* where to look next */
};

enum qlog_result qlog_scan_open(struct qlog_scan *scan, int fd) MUST_USE;
/*
 * The next record; false at the end. Where a head does not check, the next
 * one that does is looked for. *image is borrowed from the scan.
 */
bool qlog_scan_next(struct qlog_scan *scan, struct qlog_head *head,
		    struct view *image);
void qlog_scan_close(struct qlog_scan *scan);

#endif
