#include "send/message.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/checksum.h"
#include "lib/memory.h"
#include "send/names.h"
#include "send/send.h"

/* ---- damaged files ---- */

/* queue/bad/<id>, or <id>.1, .2 ... when there was one before. */
static int rename_bad(int homefd, const char *path, uint64_t id,
		      const char *suffix)
{
	struct str to = { 0 };
	int result = -1;

	for (int n = 0; n < 1000; n++) {
		str_reset(&to);
		str_appendf(&to, "queue/bad/%lu%s", (unsigned long)id, suffix);
		if (n)
			str_appendf(&to, ".%d", n);
		result = names_move(homefd, path, str_c(&to));
		if (result == 0 || errno != EEXIST)
			break;
	}
	str_free(&to);
	return result;
}

void message_rename_bad(struct send *s, const char *path, uint64_t id,
			bool said)
{
	struct str bounce = { 0 };

	if (rename_bad(s->homefd, path, id, "") == -1) {
		if (!said)
			log_errno(&s->log,
				  "alert: %s is damaged and cannot be moved to "
				  "queue/bad",
				  path);
		return;
	}
	log_line(&s->log, "alert: %s is damaged; moved to queue/bad/%lu", path,
		 (unsigned long)id);
	qformat_path(&s->format, &bounce, "bounce", id);
	if (rename_bad(s->homefd, str_c(&bounce), id, ".bounce") == -1 &&
	    errno != ENOENT)
		log_errno(&s->log, "warning: unable to move %s to queue/bad",
			  str_c(&bounce));
	str_free(&bounce);
}

void message_set_aside(struct send *s, uint32_t no)
{
	uint64_t id = schedule_entry(&s->schedule, no)->id;
	struct str path = { 0 };

	qformat_path(&s->format, &path, "mess", id);
	message_rename_bad(s, str_c(&path), id, false);
	schedule_remove(&s->schedule, no);
	str_free(&path);
}

/* ---- opening ---- */

/* What qfile_open() said was not OK. */
static void cannot_open(struct send *s, uint32_t no, enum due which,
			const char *path, enum qfile_result result)
{
	switch (result) {
	case QFILE_OK:
	case QFILE_BAD:
		message_set_aside(s, no);
		return;
	case QFILE_EMPTY:
		log_line(&s->log, "warning: %s is empty; removed", path);
		unlinkat(s->homefd, path, 0);
		break;
	case QFILE_ABSENT:
		log_line(&s->log, "warning: %s is gone", path);
		break;
	case QFILE_NEWER:
		log_line(&s->log, "alert: %s has a later format; left alone",
			 path);
		break;
	case QFILE_ERROR:
		log_errno(&s->log,
			  "warning: unable to open %s; will try again later",
			  path);
		schedule_set(&s->schedule, no, which, s->now + SEND_TROUBLE_S);
		return;
	}
	schedule_remove(&s->schedule, no);
}

bool message_open_file(struct send *s, uint32_t no, enum due which,
		       struct qfile *file)
{
	uint64_t id = schedule_entry(&s->schedule, no)->id;
	struct str path = { 0 };
	enum qfile_result result;

	qformat_path(&s->format, &path, "mess", id);
	result = qfile_open(file, s->homefd, str_c(&path));
	if (result == QFILE_OK && file->id != id) {
		qfile_close(file);
		result = QFILE_BAD;
	}
	if (result != QFILE_OK)
		cannot_open(s, no, which, str_c(&path), result);
	str_free(&path);
	return result == QFILE_OK;
}

struct message *message_new(uint32_t no, struct qfile *file)
{
	struct message *m = memory_zeroed(1, sizeof(*m));

	m->no = no;
	m->id = file->id;
	m->file = *file;
	m->memfd = -1;
	m->reports_end = UINT64_MAX;
	*file = (struct qfile){ .fd = -1 };
	return m;
}

void message_free(struct message *m)
{
	qfile_close(&m->file);
	str_free(&m->text);
	for (size_t c = 0; c < COUNT_OF(m->passes); c++)
		pass_free(&m->passes[c]);
	if (m->memfd != -1)
		close(m->memfd);
	free(m);
}

/* ---- the message itself ---- */

/* A short message: read once and keep it. */
static enum qfile_result load_text(struct message *m)
{
	size_t size = (size_t)m->file.message_len;
	enum qfile_result result;

	str_reset(&m->text);
	str_reserve(&m->text, size);
	result = qfile_read(&m->file, m->text.p, size, 0);
	if (result != QFILE_OK)
		return result;
	m->text.len = size;
	return crc32c(CRC32C_START, str_view(&m->text)) == m->file.message_crc
		       ? QFILE_OK
		       : QFILE_BAD;
}

static enum qfile_result load_memfd(struct message *m)
{
	enum qfile_result result = qfile_check_message(&m->file);

	if (result != QFILE_OK)
		return result;
	m->memfd = job_memfd(m->file.fd, m->file.base, m->file.message_len);
	return m->memfd == -1 ? QFILE_ERROR : QFILE_OK;
}

void message_preload(struct message *m, struct view image)
{
	struct view text = view_first(image, m->file.message_len);

	/* Else message_load() finds out. */
	if (crc32c(CRC32C_START, text) != m->file.message_crc)
		return;
	str_set(&m->text, text);
	m->loaded = true;
}

enum qfile_result message_load(struct message *m)
{
	enum qfile_result result;

	if (m->loaded)
		return QFILE_OK;
	result = m->file.message_len <= JOB_INLINE_MAX ? load_text(m)
						       : load_memfd(m);
	m->loaded = result == QFILE_OK;
	return result;
}

void message_mark(struct send *s, struct message *m, uint64_t state_offset,
		  enum qfile_state state)
{
	uint64_t at = state_offset - m->file.message_len;

	assert(at < m->file.envelope.len);
	/* In memory in any case, so that this process does not repeat it. */
	m->file.envelope.p[at] = (char)state;
	if (qfile_mark(&m->file, state_offset, state) == 0)
		return;
	m->in_log.unmarked = true;
	if (m->in_log.is) {
		/* Once done or moved, its record is marked as a whole. */
		log_errno(&s->log,
			  "warning: trouble marking msg %lu in queue/log/%lu",
			  (unsigned long)m->id,
			  (unsigned long)m->in_log.segment);
		return;
	}
	log_errno(&s->log,
		  "warning: trouble marking mess/%lu; message will be "
		  "delivered twice!",
		  (unsigned long)m->id);
}
