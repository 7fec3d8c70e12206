#ifndef QUEUE_REQUEST_H
#define QUEUE_REQUEST_H

/*
 * What a client says on queue/socket/enqueue, taken apart (doc/queue.md).
 *
 *	struct request r = { 0 };
 *	struct view input = bytes that came;
 *
 *	for (;;)
 *		switch (request_next(&r, &input, &event)) ...
 *
 * Input may be cut anywhere. Message bytes are handed on as they come;
 * envelope records only when a whole piece has been checked, so that at most
 * ENQUEUE_PIECE_MAX bytes a client are kept here. Nothing here reads,
 * writes, dies or logs: the bytes are a stranger's.
 */

#include "lib/record.h"
#include "lib/str.h"

/* All envelope records together; more is refused for good (31). */
#define REQUEST_ENVELOPE_MAX (UINT64_C(64) * 1024 * 1024)

enum request_kind {
	REQUEST_MORE,    /* the input is used up */
	REQUEST_HELLO,   /* the client has said who it is: answer GO */
	REQUEST_MESSAGE, /* bytes: a part of the message */
	REQUEST_RECORDS, /* bytes: whole, sound envelope records */
	REQUEST_END,     /* that was all, and it is complete */
	REQUEST_BAD,     /* code and text say what to refuse it with */
};

struct request_event {
	struct view bytes; /* borrowed from the input or the request */
	int code;          /* of qmail-queue (lib/enqueue.h) */
	const char *text;
};

enum request_phase {
	REQUEST_IN_HELLO,
	REQUEST_IN_MESSAGE,
	REQUEST_IN_ENVELOPE,
	REQUEST_ENDED, /* a HELLO may begin the next message */
	REQUEST_OVER,  /* BAD was said; the rest is ignored */
};

/* All-zero is a new one. */
struct request {
	enum request_phase phase;
	char head[RECORD_HEAD_BYTES];
	size_t head_len; /* RECORD_HEAD_BYTES while in a value */
	uint64_t type;
	uint64_t left;    /* bytes of the value still to come */
	struct str piece; /* a value that is needed whole */
	uint64_t envelope_len;
	bool sender;         /* has come */
	uint64_t recipients; /* have come */
};

enum request_kind request_next(struct request *r, struct view *input,
			       struct request_event *event) MUST_USE;
void request_free(struct request *r);

#endif
