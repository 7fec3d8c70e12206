#include "send/reports.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/record.h"

#define TYPE_REPORT 1

/* How many bytes are whole records. */
static size_t whole_bytes(struct view content)
{
	struct view rest = content;
	struct record record;

	while (record_next(&rest, &record) == RECORD_OK)
		;
	return content.len - rest.len;
}

static int read_content(int fd, struct str *content)
{
	str_reset(content);
	while (content->len < REPORTS_MAX_BYTES) {
		ssize_t got;

		str_reserve(content, 65536);
		got = pread(fd, content->p + content->len, 65536,
			    (off_t)content->len);
		if (got == -1 && errno == EINTR)
			continue;
		if (got == -1)
			return -1;
		if (got == 0)
			break;
		content->len += (size_t)got;
	}
	str_truncate(content, whole_bytes(str_view(content)));
	return 0;
}

/* Where the next report goes; a torn tail is cut off. */
static int find_end(int fd, uint64_t *end)
{
	struct str content = { 0 };
	int result;

	if (*end != UINT64_MAX)
		return 0;
	result = read_content(fd, &content);
	if (result == 0)
		result = ftruncate(fd, (off_t)content.len);
	if (result == 0)
		*end = content.len;
	str_free(&content);
	return result;
}

static int write_at(int fd, struct view v, uint64_t at)
{
	while (v.len) {
		ssize_t put = pwrite(fd, v.p, v.len, (off_t)at);

		if (put == -1 && errno == EINTR)
			continue;
		if (put == -1)
			return -1;
		v = view_from(v, (size_t)put);
		at += (uint64_t)put;
	}
	return 0;
}

int reports_append(int homefd, const char *path, uint64_t *end,
		   uint64_t recipient, struct view text)
{
	struct str value = { 0 };
	struct str record = { 0 };
	char number[8];
	int result = -1;
	int error;
	int fd = openat(homefd, path,
			O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
			0600);

	if (fd == -1)
		return -1;
	le64_write(number, recipient);
	str_append(&value, view_make(number, sizeof(number)));
	str_append(&value, text);
	record_append(&record, TYPE_REPORT, str_view(&value));
	if (find_end(fd, end) == 0 &&
	    write_at(fd, str_view(&record), *end) == 0) {
		*end += record.len;
		result = 0;
	}
	error = errno;
	close(fd);
	str_free(&value);
	str_free(&record);
	errno = error;
	return result;
}

int reports_read(int homefd, const char *path, struct str *content)
{
	int fd = openat(homefd, path,
			O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	int result;
	int error;

	str_reset(content);
	if (fd == -1)
		return errno == ENOENT ? 0 : -1;
	result = read_content(fd, content);
	error = errno;
	close(fd);
	errno = error;
	return result;
}

bool reports_next(struct view *rest, uint64_t *recipient, struct view *text)
{
	struct record record;

	while (record_next(rest, &record) == RECORD_OK) {
		if (record.type != TYPE_REPORT || record.value.len < 8)
			continue;
		*recipient = le64_read(record.value.p);
		*text = view_from(record.value, 8);
		return true;
	}
	return false;
}
