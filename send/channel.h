#ifndef SEND_CHANNEL_H
#define SEND_CHANNEL_H

/*
 * The connection to one spawner, and the deliveries in its hands.
 *
 *	channel_hello(&ch, 60000)            once, it says how many it takes
 *	d = channel_begin(&ch, number);      NULL when all slots are taken
 *	delivery_add(d, ...);                once or more
 *	channel_send(&ch, packet, fd);
 *	...
 *	channel_prepare(&ch, &polls);
 *	while (channel_receive(&ch, &packet)) ...      after the poll
 *	channel_end(&ch, d);
 *
 * Jobs go out on one descriptor and results come in on another; both may be
 * the same socket. Sending never blocks: what the socket does not take waits
 * here, and until it is gone channel_ready() is false.
 */

#include <stdint.h>

#include "lib/job.h"
#include "lib/polls.h"
#include "lib/str.h"

struct destination;
struct message;

struct delivery_recipient {
	uint64_t number;
	uint64_t state_offset; /* in the queue file */
};

/* One job: one recipient, or several at one host. */
struct delivery {
	bool used;
	/*
	 * The number in the job protocol. In the log every recipient has one
	 * of his own: the first has this, the others the next ones.
	 */
	uint64_t job;
	struct message *message;
	int64_t begun_ms;                /* monotonic */
	struct destination *destination; /* of a remote one; or NULL */
	bool is_doubtful;                /* see send/destinations.h */
	struct delivery_recipient *recipients;
	size_t count;
	size_t cap;
};

struct channel {
	const char *name; /* "local" or "remote" */
	int out;
	int in;
	bool alive;
	uint64_t concurrency;
	uint64_t used;
	struct delivery *deliveries; /* concurrency of them */
	bool pending;                /* a packet that was not taken */
	struct str pending_packet;
	int pending_fd; /* borrowed from its message */
	size_t in_no;
	size_t out_no;
};

/*
 * Take over the two descriptors and wait for the spawner's first packet.
 * Lowers concurrency to what it can do. 0 or -1.
 */
int channel_open(struct channel *ch, int wait_ms) MUST_USE;

/* May another job be sent now? */
bool channel_ready(const struct channel *ch);
struct delivery *channel_begin(struct channel *ch, uint64_t job);
void delivery_add(struct delivery *d, uint64_t number, uint64_t state_offset);
void channel_end(struct channel *ch, struct delivery *d);
struct delivery *channel_find(struct channel *ch, uint64_t job);

/* -1: the spawner is lost. fd stays the caller's, and open till the end. */
int channel_send(struct channel *ch, struct view packet, int fd) MUST_USE;

void channel_prepare(struct channel *ch, struct polls *polls);
/* After the poll: send what waits. -1: the spawner is lost. */
int channel_act(struct channel *ch, const struct polls *polls) MUST_USE;

enum channel_result {
	CHANNEL_RESULT, /* *packet holds one */
	CHANNEL_NONE,   /* for now */
	CHANNEL_LOST,
};

enum channel_result channel_receive(struct channel *ch,
				    struct str *packet) MUST_USE;
/* Forget it. */
void channel_lose(struct channel *ch);

#endif
