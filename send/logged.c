#include "send/logged.h"

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
#define CONNECT_MS 1000
#define TROUBLE_MS (INT64_C(1000) * SEND_TROUBLE_S)
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

static struct logged_segment *segment_of(struct send *s,
					 const struct logged_place *place)
{
	assert(place->segment < QLOG_SEGMENTS_MAX);
	return &s->logged.segments[place->segment];
}

/* The record is qmail-queued's again. */
static void let_go(struct send *s, struct message *m, bool moved)
{
	struct logged_segment *segment = segment_of(s, &m->in_log);

	list_remove(&s->logged, m);
	m->in_log.is = false;
	segment->released++;
	segment->moved += moved;
}

static void mark_moved(struct send *s, uint64_t segment, uint64_t offset)
{
	/* Unmarked, it is found in mess/ by a replay, or delivered again. */
	if (qlog_mark(s->logged.segments[segment].fd, offset, QLOG_MOVED) == -1)
		log_errno(&s->log,
			  "warning: trouble marking a record of queue/log/%lu",
			  (unsigned long)segment);
}

void logged_release(struct send *s, struct message *m)
{
	/* A file would be gone now, whatever its bytes say. */
	if (m->in_log.unmarked)
		mark_moved(s, m->in_log.segment, m->in_log.offset);
	let_go(s, m, false);
}

/* ---- becoming a file ---- */

static int sync_shard(struct send *s, struct str *path)
{
	struct str shard = { 0 };
	int result;

	str_set(&shard, view_first(str_view(path),
				   view_find_last(str_view(path), '/')));
	result = durable_sync_dir(s->homefd, str_c(&shard));
	str_free(&shard);
	return result;
}

/* Is what lies there the same message, whole? An earlier move, then. */
static bool is_moved_already(struct send *s, const char *path,
			     const struct qfile *q)
{
	struct qfile there;
	bool same;

	if (qfile_open(&there, s->homefd, path) != QFILE_OK)
		return false;
	same = there.id == q->id && there.message_len == q->message_len &&
	       there.message_crc == q->message_crc &&
	       there.envelope.len == q->envelope.len &&
	       qfile_check_message(&there) == QFILE_OK;
	qfile_close(&there);
	return same;
}

/* One that a power cut left torn, of this very id: it may be replaced. */
static bool is_torn(struct send *s, const char *path)
{
	struct qfile there;
	enum qfile_result result = qfile_open(&there, s->homefd, path);

	if (result == QFILE_OK) {
		result = qfile_check_message(&there);
		qfile_close(&there);
	}
	return result == QFILE_BAD || result == QFILE_EMPTY;
}

/*
 * Without a journal a name may come back and lead to somebody else's file,
 * which is none of ours: it goes to bad/.
 */
static bool is_foreign(struct send *s, const char *path)
{
	return faccessat(s->homefd, path, R_OK | W_OK, 0) == -1 &&
	       errno == EACCES;
}

/* Give the new file its name, in place of what a power cut left there. */
static int take_name(struct send *s, struct str *temp, struct str *path,
		     uint64_t id)
{
	if (names_move(s->homefd, str_c(temp), str_c(path)) == 0)
		return 0;
	if (errno != EEXIST)
		return -1;
	if (is_foreign(s, str_c(path))) {
		message_rename_bad(s, str_c(path), id, false);
		return names_move(s->homefd, str_c(temp), str_c(path));
	}
	if (is_torn(s, str_c(path)))
		return renameat(s->homefd, str_c(temp), s->homefd, str_c(path));
	errno = EEXIST;
	return -1;
}

/*
 * Name before sync, as everywhere: then one sync covers both. Returns the
 * file's descriptor, or -1 with errno.
 */
static int publish(struct send *s, int fd, struct str *temp, struct str *path,
		   uint64_t id)
{
	int error;

	if (take_name(s, temp, path, id) == -1) {
		error = errno;
		unlinkat(s->homefd, str_c(temp), 0);
	} else if ((!MUTANT(spill_no_sync) && durable_sync(fd) == -1) ||
		   (s->format.sync == QSYNC_POSIX &&
		    sync_shard(s, path) == -1)) {
		error = errno;
		unlinkat(s->homefd, str_c(path), 0);
	} else {
		return fd;
	}
	close(fd);
	errno = error;
	return -1;
}

/* A durable file in mess/ with what `q` holds; -1 with errno. */
static int write_file(struct send *s, const struct qfile *q, struct str *path)
{
	struct str temp = { 0 };
	int fd;

	str_append(&temp, str_view(path));
	str_append_c(&temp, ".new"); /* no id: nobody takes it for a message */
	fd = openat(s->homefd, str_c(&temp),
		    O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0660);
	if (fd != -1) {
		enum qfile_result result = qfile_copy(q, fd, q->id);

		if (result == QFILE_BAD)
			errno = EBADMSG;
		if (result == QFILE_OK && fchmod(fd, 0660) == 0) {
			fd = publish(s, fd, &temp, path, q->id);
		} else {
			int error = errno;

			unlinkat(s->homefd, str_c(&temp), 0);
			close(fd);
			errno = error;
			fd = -1;
		}
	}
	str_free(&temp);
	return fd;
}

int logged_move(struct send *s, struct message *m)
{
	struct str path = { 0 };
	int fd;

	assert(m->in_log.is);
	qformat_path(&s->format, &path, "mess", m->id);
	fd = write_file(s, &m->file, &path);
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
	mark_moved(s, m->in_log.segment, m->in_log.offset);
	m->file.fd = fd;
	m->file.borrowed = false;
	m->file.base = 0;
	let_go(s, m, true);
	return 0;
}

/* ---- records that do not check ---- */

/* Its bytes as they are; where that fails too, they stay in the segment. */
static int save_bad(struct send *s, struct view bytes, uint64_t segment,
		    uint64_t offset)
{
	struct str path = { 0 };
	int result = -1;
	int fd;

	str_appendf(&path, "queue/bad/log.%lu.%lu.%lu",
		    (unsigned long)clock_wall_s(), (unsigned long)segment,
		    (unsigned long)offset);
	fd = openat(s->homefd, str_c(&path),
		    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0660);
	if (fd != -1) {
		int error;

		result = write_all(fd, bytes) == 0 && durable_sync(fd) == 0
				 ? 0
				 : -1;
		error = errno;
		close(fd);
		errno = error;
	}
	if (result == 0)
		log_line(&s->log,
			 "alert: a record of queue/log/%lu is damaged; its "
			 "bytes are in %s",
			 (unsigned long)segment, str_c(&path));
	else
		log_errno(&s->log,
			  "alert: a record of queue/log/%lu is damaged and "
			  "cannot be saved to %s",
			  (unsigned long)segment, str_c(&path));
	str_free(&path);
	return result;
}

/* `length` bytes of a segment into image. -1 with errno. */
static int read_image(struct send *s, int fd, uint64_t offset, uint64_t length)
{
	struct str *image = &s->logged.image;

	str_reset(image);
	str_reserve(image, length);
	while (image->len < length) {
		ssize_t got =
			pread(fd, image->p + image->len, length - image->len,
			      (off_t)(qlog_image_at(offset) + image->len));

		if (got == -1 && errno == EINTR)
			continue;
		if (got == 0)
			errno = EIO;
		if (got <= 0)
			return -1;
		image->len += (size_t)got;
	}
	return 0;
}

void logged_set_aside(struct send *s, struct message *m)
{
	const struct logged_place place = m->in_log;

	if (read_image(s, segment_of(s, &place)->fd, place.offset,
		       place.length) == 0 &&
	    save_bad(s, str_view(&s->logged.image), place.segment,
		     place.offset) == 0)
		mark_moved(s, place.segment, place.offset);
	let_go(s, m, true);
}

/* ---- the connection ---- */

void logged_open(struct send *s)
{
	s->logged.sock = -1;
	for (size_t i = 0; i < QLOG_SEGMENTS_MAX; i++)
		s->logged.segments[i].fd = -1;
}

/* What is in work from the log goes on; a replay settles the rest. */
static void disconnect(struct send *s, int64_t again_ms)
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

	l->connect_ms = clock_mono_ms() + CONNECT_MS;
	if (!move_all(s))
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

static int open_segment(struct send *s, uint64_t number)
{
	struct logged_segment *segment;
	struct str path = { 0 };

	if (number >= QLOG_SEGMENTS_MAX) {
		errno = EINVAL;
		return -1;
	}
	segment = &s->logged.segments[number];
	if (segment->fd != -1)
		return segment->fd;
	qlog_path(&path, number);
	segment->fd = openat(s->homefd, str_c(&path),
			     O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	str_free(&path);
	return segment->fd;
}

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
	if (read_image(s, fd, place->offset, place->length) == -1)
		return QFILE_ERROR;
	result = qfile_parse(file, str_view(&s->logged.image));
	if (result == QFILE_OK)
		qfile_borrow(file, fd, qlog_image_at(place->offset));
	return result == QFILE_EMPTY ? QFILE_BAD : result;
}

/* False: it cannot be had now; a replay will try again. */
static bool take_record(struct send *s, const struct record *record)
{
	struct logged_place place = {
		.is = true,
		.segment = le64_read(record->value.p),
		.offset = le64_read(record->value.p + 8),
		.length = le64_read(record->value.p + 16),
		.since_ms = clock_mono_ms(),
	};
	int fd = open_segment(s, place.segment);
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

/* ---- replaying ---- */

/* True when nothing of it is left in the log. */
static bool replay_message(struct send *s, const struct qfile *file)
{
	struct str path = { 0 };
	bool done = true;
	bool is_known;
	struct stat st;

	qformat_path(&s->format, &path, "mess", file->id);
	/* A name that was there is in the schedule, whatever it leads to. */
	is_known =
		fstatat(s->homefd, str_c(&path), &st, AT_SYMLINK_NOFOLLOW) == 0;
	if (!is_moved_already(s, str_c(&path), file)) {
		int fd = write_file(s, file, &path);

		done = fd != -1;
		if (done) {
			close(fd);
			take_log_new(s, file);
			if (!is_known)
				work_found(s, file->id);
		} else {
			log_errno(&s->log,
				  "warning: unable to write %s; will try again "
				  "later",
				  str_c(&path));
		}
	}
	str_free(&path);
	return done;
}

static bool replay_record(struct send *s, uint64_t segment,
			  const struct qlog_head *head, struct view image)
{
	struct qfile file;
	bool done = true;

	if (head->state != QLOG_LIVE)
		return true;
	if (image.len < head->length || qfile_parse(&file, image) != QFILE_OK) {
		done = save_bad(s, image, segment, head->offset) == 0;
	} else {
		qfile_borrow(&file, s->logged.segments[segment].fd,
			     qlog_image_at(head->offset));
		if (!qfile_is_delivered(&file)) {
			if (qfile_check_message(&file) == QFILE_BAD)
				done = save_bad(s, image, segment,
						head->offset) == 0;
			else
				done = replay_message(s, &file);
		}
		qfile_close(&file);
	}
	if (done)
		mark_moved(s, segment, head->offset);
	return done;
}

/* Everything that is left of a segment. False: something is, still. */
static bool replay_segment(struct send *s, uint64_t number)
{
	struct qlog_scan scan;
	struct qlog_head head;
	struct view image;
	bool done = true;
	enum qlog_result result;

	if (open_segment(s, number) == -1) {
		log_errno(&s->log, "warning: unable to open queue/log/%lu",
			  (unsigned long)number);
		return errno == ENOENT;
	}
	result = qlog_scan_open(&scan, s->logged.segments[number].fd);
	switch (result) {
	case QLOG_OK:
		while (qlog_scan_next(&scan, &head, &image))
			done &= replay_record(s, number, &head, image);
		break;
	case QLOG_BLANK:
		break;
	case QLOG_NEWER:
		done = false;
		break;
	case QLOG_BAD:
		done = save_bad(s, str_view(&scan.bytes), number, 0) == 0;
		break;
	case QLOG_ERROR:
		log_errno(&s->log, "warning: unable to read queue/log/%lu",
			  (unsigned long)number);
		done = false;
		break;
	}
	qlog_scan_close(&scan);
	return done;
}

static void replay_all(struct send *s)
{
	struct logged *l = &s->logged;
	int64_t now = clock_mono_ms();

	if (now < l->replay_ms)
		return;
	for (uint64_t i = 0; i < QLOG_SEGMENTS_MAX; i++) {
		struct str said = { 0 };

		if (!l->segments[i].replay)
			continue;
		if (!replay_segment(s, i)) {
			l->replay_ms = now + TROUBLE_MS;
			continue;
		}
		l->segments[i].replay = false;
		record_append_u64(&said, HANDOVER_REPLAYED, i);
		if (packet_send(l->sock, str_view(&said), -1) != PACKET_OK)
			disconnect(s, CONNECT_MS);
		str_free(&said);
	}
}

/* ---- what qmail-queued says ---- */

/* False: the connection is of no use. */
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
		return record->value.len == 24 && take_record(s, record);
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

	while (record_next(&rest, &record) == RECORD_OK)
		if (!obey(s, &record)) {
			disconnect(s, TROUBLE_MS);
			return false;
		}
	return true;
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
			disconnect(s, 0);
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
		disconnect(s, 0);
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
			disconnect(s, 0);
	}
	str_free(&said);
}

void logged_run_all(struct send *s)
{
	s->logged.replay_ms = 0;
}

void logged_run(struct send *s)
{
	move_old(s);
	if (s->logged.sock != -1 && s->logged.heard && !s->exiting)
		replay_all(s);
	tell_released(s);
}
