#ifndef LIB_ENQUEUE_H
#define LIB_ENQUEUE_H

/*
 * Handing a message to the queue: for qmail-smtpd, qmail-inject, qmail-local's
 * forwards, bounces, and qmail-queue itself.
 *
 *	struct enqueue q;
 *
 *	enqueue_open(&q, homefd);
 *	enqueue_put(&q, bytes);                  any number of times
 *	enqueue_from(&q, sender);
 *	enqueue_to(&q, recipient);               at least once
 *	if (enqueue_close(&q) == ENQUEUE_DONE)   durable from here on
 *		...q.id, q.pid
 *	else
 *		...q.text, e.g. "qq write error or disk full (#4.3.0)"
 *	enqueue_free(&q);
 *
 * With QMAILQUEUE in the environment the program it names gets the message
 * on descriptor 0 and the envelope on 1, as qmail-queue(8) says, and may say
 * why it refused on descriptor 4 or 6 (exit 82). Otherwise the bytes go to
 * qmail-queued over its socket (doc/queue.md), and no process is started.
 * Where nobody listens, enqueue_open() waits up to ENQUEUE_WAIT_MS.
 *
 * After a failure the other calls do nothing, and enqueue_close() says what
 * it was. SIGPIPE must be ignored by the caller (lib/sig.h).
 */

#include <stdint.h>
#include <sys/types.h>

#include "lib/in.h"
#include "lib/launcher.h"
#include "lib/str.h"

#define ENQUEUE_WAIT_MS 60000

/* qmail-queue's exit codes. */
enum enqueue_code {
	ENQUEUE_CODE_DONE = 0,
	ENQUEUE_CODE_ADDRESS_TOO_LONG = 11,
	ENQUEUE_CODE_REFUSED = 31, /* permanently, by the server */
	ENQUEUE_CODE_MEMORY = 51,
	ENQUEUE_CODE_TIMEOUT = 52,
	ENQUEUE_CODE_WRITE = 53, /* or the disk is full */
	ENQUEUE_CODE_READ = 54,
	ENQUEUE_CODE_CONFIG = 55,
	ENQUEUE_CODE_NETWORK = 56,
	ENQUEUE_CODE_HOME = 61,
	ENQUEUE_CODE_QUEUE_DIR = 62,
	ENQUEUE_CODE_CREATE = 63,
	ENQUEUE_CODE_TRIGGER = 64,
	ENQUEUE_CODE_LINK = 65,
	ENQUEUE_CODE_ENVELOPE_FILE = 66,
	ENQUEUE_CODE_BUSY = 71, /* temporarily refused */
	ENQUEUE_CODE_CONNECT_TIMEOUT = 72,
	ENQUEUE_CODE_CONNECT_REFUSED = 73,
	ENQUEUE_CODE_LOST = 74, /* the connection broke */
	ENQUEUE_CODE_BUG = 81,
	ENQUEUE_CODE_CUSTOM = 82,   /* text on descriptor 4 or 6 */
	ENQUEUE_CODE_ENVELOPE = 91, /* not in the format */
	ENQUEUE_CODE_EXEC = 120,    /* the QMAILQUEUE program */
};

/* Records of the protocol. */
enum enqueue_type {
	ENQUEUE_HELLO = 1,
	ENQUEUE_CHUNK = 2,
	ENQUEUE_ENVELOPE = 3,
	ENQUEUE_END = 4,
	ENQUEUE_GO = 16,
	ENQUEUE_DONE_ID = 17,
	ENQUEUE_REFUSED_CODE = 18,
};

#define ENQUEUE_PROTOCOL "valija-enqueue 1"
#define ENQUEUE_PIECE_MAX 65536
#define ENQUEUE_SOCKET "queue/socket/enqueue"

enum enqueue_result {
	ENQUEUE_DONE,
	ENQUEUE_TEMPORARY,
	ENQUEUE_PERMANENT,
};

/*
 * A connection to qmail-queued that goes from one message to the next, for
 * who sends many: { .sock = -1 } at first. The next message is let in with
 * the end of the one before.
 */
struct enqueue_link {
	int sock;        /* -1: there is none now */
	int64_t sent_ms; /* when the last message was sent */
};

/* A link is used for so long; qmail-queued drops it only after twice that. */
#define ENQUEUE_REUSE_MS 5000

struct enqueue {
	int homefd;                /* borrowed */
	int sock;                  /* to qmail-queued, or -1 */
	struct enqueue_link *link; /* NULL: one connection a message */
	bool blocks;               /* sock does, for some seconds at most */
	bool unused;               /* sock was kept: nothing was sent yet */
	int message;               /* pipe to the program's 0, or -1 */
	int envelope;              /* pipe to its 1 */
	int custom;                /* pipe from its 4 and 6 */
	pid_t pid;                 /* of the program; ours when there is none */
	int code;                  /* 0 so far, or the first failure */
	uint64_t id;          /* the queue id, 0 when a program queued it */
	bool program;         /* of QMAILQUEUE, instead of qmail-queued */
	struct launch launch; /* runs it, if its sock is not -1 */
	int64_t sent_ms;      /* when bytes last went out */
	struct str buffer;    /* message bytes not yet sent */
	struct str records;   /* envelope not yet sent */
	struct str out;       /* bytes for the socket, gathered */
	struct str text;      /* after close: why not, without D or Z */
};

void enqueue_open(struct enqueue *q, int homefd);
/*
 * launcher, for who may not run programs itself: it runs QMAILQUEUE's, if
 * there is that; see enqueue_launcher(). link: see above. Either may be NULL.
 */
void enqueue_open_by(struct enqueue *q, int homefd,
		     const struct launcher *launcher,
		     struct enqueue_link *link);
/*
 * Before entering a sandbox: start a launcher for QMAILQUEUE's program; its
 * sock is -1 if there is no QMAILQUEUE. -1 with errno.
 */
int enqueue_launcher(struct launcher *launcher, int homefd) MUST_USE;
void enqueue_put(struct enqueue *q, struct view bytes);
/* The message is complete. */
void enqueue_from(struct enqueue *q, struct view sender);
/* A message-level record of lib/qfile.h (QFILE_BODY ...). Before _to. */
void enqueue_param(struct enqueue *q, uint64_t type, struct view value);
void enqueue_to(struct enqueue *q, struct view recipient);
/* NOTIFY or ORCPT of the last recipient. */
void enqueue_to_param(struct enqueue *q, uint64_t type, struct view value);
/*
 * Give up: the queue will hold nothing of it. close may still be called, and
 * must be where QMAILQUEUE is set: it waits for the program.
 */
void enqueue_fail(struct enqueue *q, int code);
enum enqueue_result enqueue_close(struct enqueue *q) MUST_USE;
void enqueue_free(struct enqueue *q);
void enqueue_link_close(struct enqueue_link *link);

/* Whether a qmail-queue exit code is permanent, and its text. */
enum enqueue_result enqueue_code_result(int code);
const char *enqueue_code_text(int code);

#endif
