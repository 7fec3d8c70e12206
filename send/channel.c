#include "send/channel.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/memory.h"
#include "lib/packet.h"
#include "lib/ready.h"

/* ---- opening ---- */

static int set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags == -1 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static int read_hello(struct channel *ch, int wait_ms, uint64_t *capacity)
{
	struct str packet = { 0 };
	int result = -1;
	int fd = -1;

	if (ready_wait(ch->in, POLLIN, wait_ms, 0) == 0 &&
	    packet_receive(ch->in, &packet, &fd) == PACKET_OK)
		result = job_hello_parse(str_view(&packet), capacity);
	if (fd != -1)
		close(fd);
	str_free(&packet);
	return result;
}

int channel_open(struct channel *ch, int wait_ms)
{
	uint64_t capacity = 0;

	ch->pending_fd = -1;
	if (set_nonblocking(ch->in) == -1 || set_nonblocking(ch->out) == -1 ||
	    read_hello(ch, wait_ms, &capacity) == -1)
		return -1;
	if (ch->concurrency > capacity)
		ch->concurrency = capacity;
	ch->deliveries = calloc(ch->concurrency ? ch->concurrency : 1,
				sizeof(*ch->deliveries));
	if (!ch->deliveries)
		die(EXIT_RETRY, "out of memory");
	ch->alive = true;
	return 0;
}

/* ---- deliveries ---- */

bool channel_ready(const struct channel *ch)
{
	return ch->alive && !ch->pending && ch->used < ch->concurrency;
}

struct delivery *channel_begin(struct channel *ch, uint64_t job)
{
	for (uint64_t i = 0; i < ch->concurrency; i++) {
		struct delivery *d = &ch->deliveries[i];

		if (d->used)
			continue;
		d->used = true;
		d->job = job;
		ch->used++;
		return d;
	}
	return NULL;
}

void delivery_add(struct delivery *d, uint64_t number, uint64_t state_offset)
{
	if (d->count == d->cap) {
		d->cap = d->cap * 2 + 1;
		d->recipients = memory_resize(d->recipients, d->cap,
					      sizeof(*d->recipients));
	}
	d->recipients[d->count++] = (struct delivery_recipient){
		.number = number,
		.state_offset = state_offset,
	};
}

void channel_end(struct channel *ch, struct delivery *d)
{
	assert(d->used);
	/* The slot keeps its array for the next one. */
	d->used = false;
	d->message = NULL;
	d->destination = NULL;
	d->is_doubtful = false;
	d->count = 0;
	ch->used--;
}

struct delivery *channel_find(struct channel *ch, uint64_t job)
{
	for (uint64_t i = 0; i < ch->concurrency; i++)
		if (ch->deliveries[i].used && ch->deliveries[i].job == job)
			return &ch->deliveries[i];
	return NULL;
}

/* ---- packets ---- */

int channel_send(struct channel *ch, struct view packet, int fd)
{
	switch (packet_send(ch->out, packet, fd)) {
	case PACKET_OK:
		return 0;
	case PACKET_AGAIN:
		ch->pending = true;
		ch->pending_fd = fd;
		str_set(&ch->pending_packet, packet);
		return 0;
	case PACKET_EOF:
	case PACKET_BAD:
	case PACKET_ERROR:
		break;
	}
	return -1;
}

void channel_prepare(struct channel *ch, struct polls *polls)
{
	if (!ch->alive)
		return;
	ch->in_no = polls_add(polls, ch->in, POLLIN);
	if (ch->pending)
		ch->out_no = polls_add(polls, ch->out, POLLOUT);
}

int channel_act(struct channel *ch, const struct polls *polls)
{
	struct str packet;
	int result;

	if (!ch->alive || !ch->pending || !polls_ready(polls, ch->out_no))
		return 0;
	packet = ch->pending_packet;
	ch->pending_packet = (struct str){ 0 };
	ch->pending = false;
	result = channel_send(ch, str_view(&packet), ch->pending_fd);
	str_free(&packet);
	return result;
}

enum channel_result channel_receive(struct channel *ch, struct str *packet)
{
	enum packet_result result;
	int fd;

	if (!ch->alive)
		return CHANNEL_NONE;
	result = packet_receive(ch->in, packet, &fd);
	if (fd != -1)
		close(fd); /* results have none */
	switch (result) {
	case PACKET_OK:
		return CHANNEL_RESULT;
	case PACKET_AGAIN:
		return CHANNEL_NONE;
	case PACKET_EOF:
	case PACKET_BAD:
	case PACKET_ERROR:
		break;
	}
	return CHANNEL_LOST;
}

void channel_lose(struct channel *ch)
{
	ch->alive = false;
	ch->pending = false;
	str_free(&ch->pending_packet);
}
