#include "send/logged_parts.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/durable.h"
#include "lib/handover.h"
#include "lib/memory.h"
#include "lib/mutant.h"
#include "lib/out.h"
#include "lib/packet.h"
#include "lib/qfile.h"
#include "lib/record.h"
#include "lib/usock.h"
#include "send/message.h"
#include "send/names.h"
#include "send/send.h"

/* So long a message stays in the log, in work or not. */
#define STAY_MS 5000
#define MOVES_A_TURN 16
#define PACKETS_A_TURN 64
/* A larger image is not read whole when it arrives. */
#define WHOLE_MAX_BYTES 16384

/* ---- messages by arrival ---- */

static void list_add(struct logged *l, struct message *m)
{
	m->in_log.older = l->newest;
	m->in_log.newer = NULL;
	if (l->newest)
		l->newest->in_log.newer = m;
	else
		l->oldest = m;
	l->newest = m;
}

static void list_remove(struct logged *l, struct message *m)
{
	struct logged_place *place = &m->in_log;

	if (place->older)
		place->older->in_log.newer = place->newer;
	else
		l->oldest = place->newer;
	if (place->newer)
		place->newer->in_log.older = place->older;
	else
		l->newest = place->older;
	place->older = place->newer = NULL;
}

/* ---- leaving the log ---- */

static struct logged_mark mark_of(const struct message *m, bool moved)
{
	return (struct logged_mark){
		.segment = m->in_log.segment,
		.offset = m->in_log.offset,
		.releases = true,
		.moved = moved,
	};
}

static void leave(struct send *s, struct message *m)
{
	list_remove(&s->logged, m);
	m->in_log.is = false;
}

void logged_release(struct send *s, struct message *m)
{
	const struct logged_mark mark = mark_of(m, false);

	/* A file would be gone now, whatever its bytes say. */
	if (m->in_log.unmarked)
		logged_mark(s, &mark);
	else
		logged_count_released(&s->logged, mark.segment, false);
	leave(s, m);
}

int logged_move(struct send *s, struct message *m)
{
	const struct logged_mark mark = mark_of(m, true);
	struct str path = { 0 };
	int fd;

	assert(m->in_log.is);
	qformat_path(&s->format, &path, "mess", m->id);
	fd = logged_write_file(s, &m->file, &path);
	if (fd == -1)
		log_errno(&s->log,
			  "warning: unable to write %s; msg %lu stays in the "
			  "log",
			  str_c(&path), (unsigned long)m->id);
	str_free(&path);
	if (fd == -1) {
		/* Its turn comes again after the others'. */
		m->in_log.since_ms = clock_mono_ms();
		list_remove(&s->logged, m);
		list_add(&s->logged, m);
		return -1;
	}
	logged_mark(s, &mark);
	m->file.fd = fd;
	m->file.borrowed = false;
	m->file.base = 0;
	leave(s, m);
	return 0;
}

void logged_set_aside(struct send *s, struct message *m)
{
	const struct logged_mark mark = mark_of(m, true);
	struct logged *l = &s->logged;

	/* Not saved, it is not released: a replay will find it. */
	if (logged_read_image(s, l->segments[mark.segment].fd, mark.offset,
			      m->in_log.length) == 0 &&
	    logged_save_bad(s, str_view(&l->image), mark.segment,
			    mark.offset) == 0)
		logged_mark(s, &mark);
	leave(s, m);
}

/* ---- the connection ---- */

void logged_open(struct send *s)
{
	s->logged.sock = -1;
	for (size_t i = 0; i < QLOG_SEGMENTS_MAX; i++)
		s->logged.segments[i].fd = -1;
}

void logged_disconnect(struct send *s, int64_t again_ms)
{
	struct logged *l = &s->logged;

	if (l->sock != -1)
		close(l->sock);
	l->sock = -1;
	l->heard = false;
	l->connect_ms = clock_mono_ms() + again_ms;
	for (size_t i = 0; i < QLOG_SEGMENTS_MAX; i++) {
		l->segments[i].replay = false;
		l->segments[i].released = l->segments[i].moved = 0;
	}
}

/*
 * A qmail-queued that is new may have made segments anew, and what was
 * released of the old ones is none of its records.
 */
static void forget_segments(struct logged *l)
{
	for (size_t i = 0; i < QLOG_SEGMENTS_MAX; i++) {
		if (l->segments[i].fd != -1)
			close(l->segments[i].fd);
		l->segments[i] = (struct logged_segment){ .fd = -1 };
	}
}

/* Nothing that a replay could take for somebody else's is left. */
static bool move_all(struct send *s)
{
	struct message *next;

	for (struct message *m = s->logged.oldest; m; m = next) {
		next = m->in_log.newer;
		if (logged_move(s, m) == -1)
			return false;
		work_moved(s, m);
	}
	return true;
}

static void connect_now(struct send *s)
{
	struct logged *l = &s->logged;

	l->connect_ms = clock_mono_ms() + LOGGED_CONNECT_MS;
	/* What is unmarked would be delivered again by the replay. */
	if (!move_all(s) || !logged_mark_again(s))
		return;
	forget_segments(l);
	l->sock = usock_connect(s->homefd, HANDOVER_SOCKET, SOCK_SEQPACKET);
	if (l->sock != -1) {
		l->complained = false;
		/* The one before may have died before it told us of a file. */
		take_look(s);
		return;
	}
	/* It is being started, as a rule. */
	if (errno != ENOENT && errno != ECONNREFUSED && !l->complained) {
		log_errno(&s->log,
			  "warning: unable to connect to " HANDOVER_SOCKET);
		l->complained = true;
	}
}

/* ---- records ---- */

/* A small one is read at once, message and all. */
static enum qfile_result open_record(struct send *s, int fd,
				     const struct logged_place *place,
				     struct qfile *file)
{
	enum qfile_result result;

	str_reset(&s->logged.image);
	if (place->length > WHOLE_MAX_BYTES)
		return qfile_open_at(file, fd, qlog_image_at(place->offset),
				     place->length);
	if (logged_read_image(s, fd, place->offset, place->length) == -1)
		return QFILE_ERROR;
	result = qfile_parse(file, str_view(&s->logged.image));
	if (result == QFILE_OK)
		qfile_borrow(file, fd, qlog_image_at(place->offset));
	return result == QFILE_EMPTY ? QFILE_BAD : result;
}

/*
 * False: it cannot be had now. Anew connected, qmail-queued will ask for a
 * replay, which tries again.
 */
static bool take_record(struct send *s, const struct record *record)
{
	struct logged_place place = {
		.is = true,
		.segment = le64_read(record->value.p),
		.offset = le64_read(record->value.p + 8),
		.length = le64_read(record->value.p + 16),
		.since_ms = clock_mono_ms(),
	};
	int fd = logged_open_segment(s, place.segment);
	struct qfile file;
	struct message *m;

	if (fd == -1 || place.length > QLOG_IMAGE_MAX ||
	    open_record(s, fd, &place, &file) != QFILE_OK) {
		log_errno(&s->log,
			  "alert: unable to read a record of queue/log/%lu",
			  (unsigned long)place.segment);
		return false;
	}
	take_log_new(s, &file);
	m = work_adopt(s, &file, &place);
	list_add(&s->logged, m);
	if (s->logged.image.len)
		message_preload(m, str_view(&s->logged.image));
	work_begin(s, m);
	return true;
}

/* ---- what qmail-queued says ---- */

/* False: it speaks nonsense. */
static bool obey(struct send *s, const struct record *record)
{
	uint64_t number;

	if (!s->logged.heard) {
		s->logged.heard = true;
		if (record->type == HANDOVER_HELLO &&
		    view_eq(record->value, VIEW(HANDOVER_PROTOCOL)))
			return true;
		log_line(&s->log, "alert: qmail-queued speaks another "
				  "protocol than " HANDOVER_PROTOCOL);
		return false;
	}
	switch (record->type) {
	case HANDOVER_RECORD:
		if (record->value.len != 24)
			return false;
		if (!take_record(s, record))
			logged_disconnect(s, LOGGED_CONNECT_MS);
		break;
	case HANDOVER_FILE:
		if (record_u64(record, &number))
			take_announced(s, number);
		break;
	case HANDOVER_REPLAY:
		if (record_u64(record, &number) && number < QLOG_SEGMENTS_MAX)
			s->logged.segments[number].replay = true;
		break;
	}
	return true;
}

static bool take_packet(struct send *s)
{
	struct view rest = str_view(&s->logged.packet);
	struct record record;

	while (s->logged.sock != -1 && record_next(&rest, &record) == RECORD_OK)
		if (!obey(s, &record))
			logged_disconnect(s, LOGGED_TROUBLE_MS);
	return s->logged.sock != -1;
}

static void hear(struct send *s)
{
	struct logged *l = &s->logged;

	for (int i = 0; i < PACKETS_A_TURN && l->sock != -1; i++) {
		int fd;

		switch (packet_receive(l->sock, &l->packet, &fd)) {
		case PACKET_OK:
			if (fd != -1)
				close(fd);
			if (!take_packet(s))
				return;
			break;
		case PACKET_AGAIN:
			return;
		case PACKET_EOF:
		case PACKET_BAD:
		case PACKET_ERROR:
			if (fd != -1)
				close(fd);
			logged_disconnect(s, 0);
			return;
		}
	}
	s->again = true;
}

/* ---- the loop's side ---- */

void logged_prepare(struct send *s, struct polls *polls, int64_t *deadline)
{
	struct logged *l = &s->logged;
	bool listens = l->sock != -1 && !s->exiting;

	l->poll_no = polls_add(polls, listens ? l->sock : -1, POLLIN);
	if (l->sock == -1 && !s->exiting)
		polls_until(deadline, l->connect_ms);
	if (l->mark_count)
		polls_until(deadline, l->mark_ms);
	if (l->oldest)
		polls_until(deadline, l->oldest->in_log.since_ms + STAY_MS);
	for (size_t i = 0; i < QLOG_SEGMENTS_MAX; i++)
		if (l->segments[i].replay && l->sock != -1)
			polls_until(deadline, l->replay_ms);
}

void logged_act(struct send *s, const struct polls *polls)
{
	struct logged *l = &s->logged;

	if (s->exiting)
		return;
	if (l->sock != -1 && polls_ready(polls, l->poll_no))
		hear(s);
	else if (l->sock == -1 && clock_mono_ms() >= l->connect_ms)
		connect_now(s);
}

static void move_old(struct send *s)
{
	int64_t before_ms = clock_mono_ms() - STAY_MS;

	for (int i = 0; i < MOVES_A_TURN; i++) {
		struct message *m = s->logged.oldest;

		if (!m || m->in_log.since_ms > before_ms)
			return;
		if (logged_move(s, m) == 0)
			work_moved(s, m);
	}
	s->again = true;
}

void logged_ending(struct send *s)
{
	struct str said = { 0 };

	if (s->logged.sock == -1)
		return;
	record_append(&said, HANDOVER_ENDING, view_make(NULL, 0));
	/* Where it is not taken, qmail-queued does without. */
	if (packet_send(s->logged.sock, str_view(&said), -1) == PACKET_ERROR)
		logged_disconnect(s, 0);
	str_free(&said);
}

static void tell_released(struct send *s)
{
	struct logged *l = &s->logged;
	struct str said = { 0 };

	for (uint64_t i = 0; i < QLOG_SEGMENTS_MAX; i++) {
		struct logged_segment *segment = &l->segments[i];
		char numbers[24];

		if (segment->released == 0)
			continue;
		le64_write(numbers, i);
		le64_write(numbers + 8, segment->released);
		le64_write(numbers + 16, segment->moved);
		record_append(&said, HANDOVER_RELEASED,
			      view_make(numbers, sizeof(numbers)));
	}
	if (said.len && l->sock != -1) {
		enum packet_result result =
			packet_send(l->sock, str_view(&said), -1);

		if (result == PACKET_OK)
			for (size_t i = 0; i < QLOG_SEGMENTS_MAX; i++)
				l->segments[i].released = l->segments[i].moved =
					0;
		else if (result != PACKET_AGAIN)
			logged_disconnect(s, 0);
	}
	str_free(&said);
}

void logged_run_all(struct send *s)
{
	s->logged.replay_ms = s->logged.mark_ms = 0;
	s->logged.connect_ms = 0;
}

void logged_run(struct send *s)
{
	move_old(s);
	if (clock_mono_ms() >= s->logged.mark_ms)
		logged_mark_again(s);
	if (s->logged.sock != -1 && s->logged.heard && !s->exiting)
		logged_replay(s);
	tell_released(s);
}
