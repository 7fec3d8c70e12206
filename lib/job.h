#ifndef LIB_JOB_H
#define LIB_JOB_H

/*
 * Jobs and their results: what qmail-send, the spawners and their workers
 * say to each other (doc/delivery.md), over lib/packet.h.
 *
 *	struct job job;
 *
 *	if (packet_receive(sock, &packet, &fd) == PACKET_OK &&
 *	    job_parse(str_view(&packet), fd, &job) == 0)
 *		...
 *
 * All views of a parsed job point into the packet; its message descriptor
 * is the caller's.
 */

#include <stdint.h>
#include <sys/types.h>

#include "lib/str.h"

#define JOB_PROTOCOL "valija-job 1"
#define JOB_INLINE_MAX 65536
#define JOB_TEXT_MAX 2000

enum job_outcome {
	JOB_DELIVERED = 'K',
	JOB_DEFERRED = 'Z',
	JOB_FAILED = 'D',
};

struct job {
	uint64_t number;
	struct view queue; /* identity */
	uint64_t id;
	struct view sender;
	struct view host;
	struct view body;
	bool smtputf8;
	uint64_t size;          /* of the message */
	struct view message;    /* when inline (fd == -1) */
	int fd;                 /* sealed memfd, or -1; borrowed */
	struct view recipients; /* RECIPIENT records; walk with job_next() */
	/* For qmail-local: */
	struct view user;
	struct view home;
	struct view local;
	struct view dash;
	struct view ext;
	struct view domain;
	struct view default_delivery;
	struct view disks; /* of lib/disks.h */
};

struct job_recipient {
	uint64_t number;
	struct view address;
};

/* Overwrite *packet with the job. Recipients as made by job_add_recipient. */
void job_format(struct str *packet, const struct job *job);
void job_add_recipient(struct str *recipients, uint64_t number,
		       struct view address);
bool job_next(struct view *rest, struct job_recipient *rcpt);

/* 0, or -1 when the packet is not a job of our version. */
int job_parse(struct view packet, int fd, struct job *job) MUST_USE;
/*
 * The delivery number of any packet, for answering one that job_parse()
 * refuses; job_next() walks the recipients of such a packet as a whole.
 */
bool job_number(struct view packet, uint64_t *number) MUST_USE;

/* A result: begin, one outcome a recipient, send. */
struct job_result {
	uint64_t number;
	struct view outcomes; /* OUTCOME records; walk with job_next_outcome */
	bool stays;           /* the worker takes another job */
	bool hop_failed;      /* it was the next hop that deferred them */
};

struct job_report {
	uint64_t recipient;
	enum job_outcome outcome; /* an invalid byte parses as deferred */
	struct view text;
};

void job_result_begin(struct str *packet, uint64_t number);
/* How much text each of so many outcomes may have to fit one packet. */
size_t job_text_share(size_t recipients);
/* text is cut at JOB_TEXT_MAX. */
void job_result_add(struct str *packet, uint64_t recipient,
		    enum job_outcome outcome, struct view text);
/* The worker waits for another job. */
void job_result_stays(struct str *packet);
/* The message is not why: the next hop is no use to any, for now. */
void job_result_hop_failed(struct str *packet);
int job_result_parse(struct view packet, struct job_result *result) MUST_USE;
bool job_next_outcome(struct view *rest, struct job_report *report);

void job_hello_format(struct str *packet, uint64_t capacity);
int job_hello_parse(struct view packet, uint64_t *capacity) MUST_USE;

/*
 * A descriptor of the message with an offset of its own, at 0, read-only,
 * for a program. -1 with errno; the caller closes it.
 */
int job_message_open(const struct job *job) MUST_USE;
/*
 * Read `size` bytes at `offset` of the message, wherever it lies. Returns
 * how many (0 at the end), or -1.
 */
ssize_t job_message_read(const struct job *job, void *to, size_t size,
			 uint64_t offset) MUST_USE;
/* A sealed memfd holding size bytes of fd from `base` on. -1 with errno. */
int job_memfd(int fd, uint64_t base, uint64_t size) MUST_USE;

#endif
