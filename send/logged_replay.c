#include "send/logged_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/handover.h"
#include "lib/packet.h"
#include "lib/qfile.h"
#include "lib/record.h"
#include "send/send.h"

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
	if (!logged_is_moved_already(s, str_c(&path), file)) {
		int fd = logged_write_file(s, file, &path);

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
	const struct logged_mark mark = {
		.segment = segment,
		.offset = head->offset,
	};
	struct qfile file;
	bool done = true;

	if (head->state != QLOG_LIVE)
		return true;
	/* Nothing else is left to do with it. */
	if (logged_lacks_mark(&s->logged, segment, head->offset))
		return false;
	if (image.len < head->length || qfile_parse(&file, image) != QFILE_OK) {
		done = logged_save_bad(s, image, segment, head->offset) == 0;
	} else {
		qfile_borrow(&file, s->logged.segments[segment].fd,
			     qlog_image_at(head->offset));
		if (!qfile_is_delivered(&file)) {
			if (qfile_check_message(&file) == QFILE_BAD)
				done = logged_save_bad(s, image, segment,
						       head->offset) == 0;
			else
				done = replay_message(s, &file);
		}
		qfile_close(&file);
	}
	return done && logged_mark(s, &mark);
}

/* Everything that is left of a segment. False: something is, still. */
static bool replay_segment(struct send *s, uint64_t number)
{
	struct qlog_scan scan;
	struct qlog_head head;
	struct view image;
	bool done = true;
	enum qlog_result result;

	if (logged_open_segment(s, number) == -1) {
		bool is_gone = errno == ENOENT;

		log_errno(&s->log, "warning: unable to open queue/log/%lu",
			  (unsigned long)number);
		return is_gone;
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
		done = logged_save_bad(s, str_view(&scan.bytes), number, 0) ==
		       0;
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

void logged_replay(struct send *s)
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
			l->replay_ms = now + LOGGED_TROUBLE_MS;
			continue;
		}
		l->segments[i].replay = false;
		record_append_u64(&said, HANDOVER_REPLAYED, i);
		if (packet_send(l->sock, str_view(&said), -1) != PACKET_OK)
			logged_disconnect(s, LOGGED_CONNECT_MS);
		str_free(&said);
	}
}
