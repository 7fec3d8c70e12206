#include "lib/enqueue_ways.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/ready.h"
#include "lib/record.h"
#include "lib/usock.h"

/* While nobody listens: how often we look. */
#define RETRY_MS 100
/* No answer is longer: a record head, a code and a text. */
#define ANSWER_MAX_BYTES 1024
#define NO_ANSWER 0 /* no type of a record: only a refusal is expected */

/* Nobody listens yet (a restart), or everybody does at once. */
static bool may_come_back(int error)
{
	return error == ENOENT || error == ECONNREFUSED || error == EAGAIN ||
	       error == EINTR;
}

static int connect_code(int error)
{
	if (may_come_back(error))
		return ENQUEUE_CODE_BUSY;
	if (error == EACCES || error == EPERM)
		return ENQUEUE_CODE_CONNECT_REFUSED;
	return ENQUEUE_CODE_NETWORK;
}

static void connect_to_queue(struct enqueue *q, int64_t deadline_ms)
{
	while ((q->sock = usock_connect(q->homefd, ENQUEUE_SOCKET,
					SOCK_STREAM)) == -1) {
		if (!may_come_back(errno) || clock_mono_ms() >= deadline_ms) {
			enqueue_fail(q, connect_code(errno));
			return;
		}
		poll(NULL, 0, RETRY_MS);
	}
}

/*
 * Bytes of the server's into `piece`; 0 at its end, -1 with errno. A kept
 * connection blocks, and so needs no poll(2) before each recv(2).
 */
static ssize_t hear(struct enqueue *q, char piece[ANSWER_MAX_BYTES],
		    int64_t deadline_ms)
{
	while (clock_mono_ms() < deadline_ms) {
		ssize_t got;

		if (!q->blocks &&
		    ready_wait(q->sock, POLLIN, -1, deadline_ms) == -1)
			return -1;
		got = recv(q->sock, piece, ANSWER_MAX_BYTES, 0);
		if (got != -1 || (errno != EINTR && errno != EAGAIN))
			return got;
	}
	errno = ETIMEDOUT;
	return -1;
}

/*
 * Read one record of the server's into `answer`. false: the connection is
 * lost, and q has failed.
 */
static bool read_answer(struct enqueue *q, int64_t deadline_ms, int late_code,
			struct str *answer, struct record *record)
{
	for (;;) {
		struct view rest = str_view(answer);
		char piece[ANSWER_MAX_BYTES];
		ssize_t got;

		if (record_next(&rest, record) == RECORD_OK)
			return true;
		if (answer->len > sizeof(piece)) {
			enqueue_fail(q, ENQUEUE_CODE_LOST);
			return false;
		}
		got = hear(q, piece, deadline_ms);
		if (got <= 0) {
			enqueue_fail(q, got == -1 && errno == ETIMEDOUT
						? late_code
						: ENQUEUE_CODE_LOST);
			return false;
		}
		str_append(answer, view_make(piece, (size_t)got));
	}
}

/* REFUSED: the exit code of qmail-queue, then a text for the log. */
static void take_refusal(struct enqueue *q, const struct record *record)
{
	uint64_t code;

	if (record->type != ENQUEUE_REFUSED_CODE || record->value.len < 8) {
		enqueue_fail(q, ENQUEUE_CODE_LOST);
		return;
	}
	code = le64_read(record->value.p);
	enqueue_fail(q, code > 0 && code < 256 ? (int)code : ENQUEUE_CODE_BUG);
}

/*
 * Wait for the answer `want`. Anything else is a failure, and the rest of
 * the conversation with it. What came behind it is in *answer.
 */
static void await(struct enqueue *q, uint64_t want, int64_t deadline_ms,
		  int late_code, struct str *answer)
{
	struct record record;

	if (!read_answer(q, deadline_ms, late_code, answer, &record))
		return;
	if (record.type != want)
		take_refusal(q, &record);
	else if (want == ENQUEUE_DONE_ID && !record_u64(&record, &q->id))
		enqueue_fail(q, ENQUEUE_CODE_LOST);
	else
		str_remove(answer, 0, RECORD_HEAD_BYTES + record.value.len);
}

/* The server has closed: did it say why? */
static void fail_sending(struct enqueue *q)
{
	struct str answer = { 0 };

	await(q, NO_ANSWER, clock_mono_ms() + RETRY_MS, ENQUEUE_CODE_LOST,
	      &answer);
	enqueue_fail(q, ENQUEUE_CODE_LOST);
	str_free(&answer);
}

static void send_bytes(struct enqueue *q, struct view v)
{
	while (v.len && q->code == 0) {
		ssize_t put =
			send(q->sock, v.p, v.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (put > 0) {
			v = view_from(v, (size_t)put);
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			fail_sending(q);
		else if (ready_wait(q->sock, POLLOUT, -1,
				    clock_mono_ms() + ENQUEUE_STALL_MS) == -1)
			enqueue_fail(q, ENQUEUE_CODE_TIMEOUT);
	}
}

static void greet(struct enqueue *q, int64_t deadline_ms)
{
	struct str text = { 0 };

	record_append(&text, ENQUEUE_HELLO, VIEW(ENQUEUE_PROTOCOL));
	send_bytes(q, str_view(&text));
	str_reset(&text);
	if (q->code == 0)
		await(q, ENQUEUE_GO, deadline_ms, ENQUEUE_CODE_CONNECT_TIMEOUT,
		      &text);
	str_free(&text);
}

/* How long to wait for a queue that is not there; tests are impatient. */
static int64_t patience_ms(void)
{
#ifdef VALIJA_TEST
	uint64_t ms;

	if (view_u64(view_of(getenv("VALIJA_TEST_ENQUEUE_WAIT_MS")), &ms) &&
	    ms <= ENQUEUE_WAIT_MS)
		return (int64_t)ms;
#endif
	return ENQUEUE_WAIT_MS;
}

static void open_anew(struct enqueue *q)
{
	int64_t deadline_ms = clock_mono_ms() + patience_ms();

	q->blocks = false;
	connect_to_queue(q, deadline_ms);
	if (q->code == 0)
		greet(q, deadline_ms);
}

/* ---- a connection that is kept ---- */

static bool is_old(const struct enqueue *q)
{
	return !q->link || q->sent_ms - q->link->sent_ms > ENQUEUE_REUSE_MS;
}

/* Its GO was said with the last DONE. */
static bool take_link(struct enqueue *q)
{
	struct enqueue_link *link = q->link;

	if (!link || link->sock == -1)
		return false;
	if (is_old(q)) {
		enqueue_link_close(link);
		return false;
	}
	q->sock = link->sock;
	q->blocks = true;
	q->unused = true;
	link->sock = -1;
	return true;
}

/* It blocks from now on, but not for ever. */
static bool make_blocking(int sock)
{
	const struct timeval once = { .tv_sec = 10 };

	return fcntl(sock, F_SETFL, 0) == 0 &&
	       setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &once, sizeof(once)) ==
		       0;
}

/* `answer` is what came behind DONE: only GO makes it worth keeping. */
static void keep_link(struct enqueue *q, const struct str *answer)
{
	struct view rest = str_view(answer);
	struct record record;

	if (record_next(&rest, &record) != RECORD_OK ||
	    record.type != ENQUEUE_GO || rest.len)
		return;
	if (!q->blocks && !make_blocking(q->sock))
		return;
	q->link->sock = q->sock;
	q->link->sent_ms = q->sent_ms;
	q->sock = -1;
}

void enqueue_link_close(struct enqueue_link *link)
{
	enqueue_close_fd(&link->sock);
}

/*
 * The first bytes of a message on a kept connection, which may be of no use
 * any more: then nobody has heard of the message, and a new one will do.
 */
static struct view send_first(struct enqueue *q, struct view v)
{
	ssize_t put = -1;

	q->unused = false;
	errno = ETIMEDOUT;
	if (!is_old(q))
		do
			put = send(q->sock, v.p, v.len,
				   MSG_NOSIGNAL | MSG_DONTWAIT);
		while (put == -1 && errno == EINTR);
	if (put == -1 && errno != EAGAIN) {
		enqueue_close_fd(&q->sock);
		open_anew(q);
	}
	return put > 0 ? view_from(v, (size_t)put) : v;
}

/* ---- the way ---- */

void enqueue_socket_open(struct enqueue *q)
{
	if (!take_link(q))
		open_anew(q);
}

void enqueue_socket_flush(struct enqueue *q)
{
	struct view v = str_view(&q->out);

	q->sent_ms = clock_mono_ms();
	if (q->unused)
		v = send_first(q, v);
	send_bytes(q, v);
	str_reset(&q->out);
}

void enqueue_socket_put(struct enqueue *q, enum enqueue_type type,
			struct view value)
{
	if (q->code)
		return;
	record_append(&q->out, type, value);
	if (q->out.len >= ENQUEUE_BUFFER_BYTES)
		enqueue_socket_flush(q);
}

void enqueue_socket_finish(struct enqueue *q)
{
	struct str answer = { 0 };

	enqueue_socket_put(q, ENQUEUE_END, VIEW(""));
	if (q->link)
		enqueue_socket_put(q, ENQUEUE_HELLO, VIEW(ENQUEUE_PROTOCOL));
	enqueue_socket_flush(q);
	if (q->code == 0)
		await(q, ENQUEUE_DONE_ID, clock_mono_ms() + ENQUEUE_STALL_MS,
		      ENQUEUE_CODE_TIMEOUT, &answer);
	if (q->code == 0 && q->link)
		keep_link(q, &answer);
	str_free(&answer);
}
