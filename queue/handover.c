#include "queue/handover.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/die.h"
#include "lib/handover.h"
#include "lib/packet.h"
#include "lib/record.h"
#include "lib/usock.h"

/* So many records may be in qmail-send's hands. */
#define OUTSTANDING_MAX 1000
/* So many bytes may wait for a qmail-send that does not read. */
#define OUT_MAX_BYTES (UINT64_C(1) << 20)
/*
 * When more than a quarter of what was released in a second had to be moved
 * to files, the way by the log is the longer one: pause for a second.
 */
#define LATELY_MS 1000
#define LATELY_MIN 20
#define MOVED_SHARE 4

/* After trouble with the listening socket. */
#define LISTEN_PAUSE_MS 1000
#define ACCEPT_PAUSE_MS 500

/* ---- coming and going ---- */

/* Only qmailq may make files there. */
static void try_to_listen(struct handover *h)
{
	h->listener = usock_listen(HANDOVER_SOCKET, SOCK_SEQPACKET, 0660, 4);
	if (h->listener != -1) {
		if (h->complained)
			warn("listening at %s", HANDOVER_SOCKET);
		h->complained = false;
		return;
	}
	if (!h->complained)
		warn_errno("cannot listen at %s, trying again",
			   HANDOVER_SOCKET);
	h->complained = true;
	h->pause_until_ms = clock_mono_ms() + LISTEN_PAUSE_MS;
}

void handover_open(struct handover *h, struct appender *appender, uid_t uid,
		   bool logs)
{
	*h = (struct handover){
		.appender = appender,
		.listener = -1,
		.sock = -1,
		.uid = uid,
		.logs = logs,
	};
	try_to_listen(h);
}

static void lose(struct handover *h)
{
	if (h->sock == -1)
		return;
	close(h->sock);
	h->sock = -1;
	h->greeted = false;
	h->ending = false;
	h->outstanding = 0;
	str_reset(&h->out);
	appender_abandon(h->appender);
}

void handover_close(struct handover *h)
{
	lose(h);
	if (h->listener != -1)
		close(h->listener);
	h->listener = -1;
	str_free(&h->out);
	str_free(&h->in);
}

static void accept_one(struct handover *h)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	int sock =
		accept4(h->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (sock == -1) {
		if (errno != EAGAIN && errno != EINTR) {
			warn_errno("cannot accept qmail-send");
			h->pause_until_ms = clock_mono_ms() + ACCEPT_PAUSE_MS;
		}
		return;
	}
	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &size) == -1 ||
	    peer.uid != h->uid) {
		warn("refused a handover to another uid than qmails");
		close(sock);
		return;
	}
	lose(h);
	h->sock = sock;
	h->lately_ms = clock_mono_ms();
	h->lately_released = h->lately_moved = 0;
}

/* ---- telling ---- */

/* All of what is in `out` as far as the socket takes it. */
static void flush(struct handover *h)
{
	while (h->sock != -1 && h->out.len) {
		struct view rest = str_view(&h->out);
		struct view before = rest;
		struct record record;

		/* Whole records, as many as one packet may hold. */
		while (record_next(&rest, &record) == RECORD_OK &&
		       h->out.len - rest.len <= HANDOVER_MAX_BYTES)
			before = rest;
		switch (packet_send(
			h->sock,
			view_first(str_view(&h->out), h->out.len - before.len),
			-1)) {
		case PACKET_OK:
			str_remove(&h->out, 0, h->out.len - before.len);
			break;
		case PACKET_AGAIN:
			if (h->out.len > OUT_MAX_BYTES)
				lose(h);
			return;
		case PACKET_EOF:
		case PACKET_BAD:
		case PACKET_ERROR:
			lose(h);
			return;
		}
	}
}

/* Only between syncs: what is durable is then in a segment to be replayed. */
static void greet(struct handover *h)
{
	struct appender *a = h->appender;

	record_append(&h->out, HANDOVER_HELLO, VIEW(HANDOVER_PROTOCOL));
	for (uint64_t i = 0; i < QLOG_SEGMENTS_MAX; i++)
		if (a->segments[i].phase == SEGMENT_STALE)
			record_append_u64(&h->out, HANDOVER_REPLAY, i);
	h->greeted = true;
	flush(h);
	if (h->logs)
		appender_prepare(a);
}

void handover_replay(struct handover *h, uint64_t segment)
{
	if (h->greeted)
		record_append_u64(&h->out, HANDOVER_REPLAY, segment);
}

bool handover_record(struct handover *h, const struct append *append)
{
	char numbers[24];

	if (!h->greeted)
		return false;
	le64_write(numbers, append->segment);
	le64_write(numbers + 8, append->offset);
	le64_write(numbers + 16, append->length);
	record_append(&h->out, HANDOVER_RECORD,
		      view_make(numbers, sizeof(numbers)));
	h->outstanding++;
	return true;
}

bool handover_file(struct handover *h, uint64_t id)
{
	if (!h->greeted)
		return false;
	record_append_u64(&h->out, HANDOVER_FILE, id);
	return true;
}

/* ---- listening ---- */

static void count_moved(struct handover *h, uint64_t released, uint64_t moved)
{
	int64_t now = clock_mono_ms();

	h->lately_released += released;
	h->lately_moved += moved;
	if (h->lately_moved >= LATELY_MIN &&
	    h->lately_moved * MOVED_SHARE > h->lately_released)
		h->pause_ms = now + LATELY_MS;
	if (now - h->lately_ms >= LATELY_MS) {
		h->lately_ms = now;
		h->lately_released = h->lately_moved = 0;
	}
}

static void obey(struct handover *h, const struct record *record)
{
	const char *at = record->value.p;

	if (record->type == HANDOVER_RELEASED && record->value.len == 24) {
		uint64_t count = le64_read(at + 8);

		appender_release(h->appender, le64_read(at), count);
		h->outstanding -=
			count < h->outstanding ? count : h->outstanding;
		count_moved(h, count, le64_read(at + 16));
	}
	if (record->type == HANDOVER_REPLAYED && record->value.len == 8)
		appender_replayed(h->appender, le64_read(at));
	if (record->type == HANDOVER_ENDING)
		h->ending = true;
}

static void hear(struct handover *h)
{
	struct record record;
	struct view rest;
	int fd;

	switch (packet_receive(h->sock, &h->in, &fd)) {
	case PACKET_OK:
		break;
	case PACKET_AGAIN:
		return;
	case PACKET_EOF:
	case PACKET_BAD:
	case PACKET_ERROR:
		if (fd != -1)
			close(fd);
		lose(h);
		return;
	}
	if (fd != -1)
		close(fd);
	rest = str_view(&h->in);
	while (record_next(&rest, &record) == RECORD_OK)
		obey(h, &record);
}

bool handover_takes_records(struct handover *h)
{
	return h->greeted && !h->ending && h->outstanding < OUTSTANDING_MAX &&
	       (h->pause_ms == 0 || clock_mono_ms() >= h->pause_ms);
}

/* ---- the loop's side ---- */

/* -1 as long as something was wrong with it. */
static int listener_now(struct handover *h, int64_t *deadline)
{
	if (clock_mono_ms() >= h->pause_until_ms) {
		if (h->listener == -1)
			try_to_listen(h);
		if (h->listener != -1)
			return h->listener;
	}
	polls_until(deadline, h->pause_until_ms);
	return -1;
}

void handover_prepare(struct handover *h, struct polls *polls,
		      int64_t *deadline)
{
	if (h->sock != -1 && !h->greeted && appender_is_idle(h->appender))
		greet(h);
	flush(h);
	h->listener_no = polls_add(polls, listener_now(h, deadline), POLLIN);
	h->sock_no = polls_add(polls, h->sock,
			       (short)(POLLIN | (h->out.len ? POLLOUT : 0)));
}

void handover_act(struct handover *h, const struct polls *polls)
{
	if (h->sock != -1 && polls_ready(polls, h->sock_no) & ~POLLOUT)
		hear(h);
	if (h->listener != -1 && polls_ready(polls, h->listener_no))
		accept_one(h);
}
