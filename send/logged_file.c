#include "send/logged_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/durable.h"
#include "lib/mutant.h"
#include "lib/qfile.h"
#include "send/message.h"
#include "send/names.h"
#include "send/send.h"

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

bool logged_is_moved_already(struct send *s, const char *path,
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

int logged_write_file(struct send *s, const struct qfile *q, struct str *path)
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
