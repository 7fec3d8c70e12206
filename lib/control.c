#include "lib/control.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES 4096

/* Nobody writes into a FIFO that lies here: it would read as empty. */
static int check_type(int fd)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return -1;
	if (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)) {
		errno = EINVAL;
		return -1;
	}
	return 0;
}

/* Read until end of file or one byte over the limit. */
static enum control_result read_fd(int fd, struct str *text, size_t max_bytes)
{
	for (;;) {
		size_t left = max_bytes - text->len;
		size_t room = left < READ_BYTES ? left + 1 : READ_BYTES;
		ssize_t got;

		str_reserve(text, room);
		got = read(fd, text->p + text->len, room);
		if (got == -1 && errno == EINTR)
			continue;
		if (got == -1)
			return CONTROL_ERROR;
		if (got == 0)
			return CONTROL_OK;
		text->len += (size_t)got;
		if (text->len > max_bytes) {
			errno = EFBIG;
			return CONTROL_ERROR;
		}
	}
}

enum control_result control_read_fd(int fd, struct str *text, size_t max_bytes)
{
	enum control_result result = CONTROL_ERROR;

	str_reset(text);
	if (check_type(fd) == 0)
		result = read_fd(fd, text, max_bytes);
	if (result != CONTROL_OK)
		str_reset(text);
	return result;
}

enum control_result control_read(int dirfd, const char *path, struct str *text,
				 size_t max_bytes)
{
	enum control_result result;
	int error;
	int fd;

	str_reset(text);
	/* O_NONBLOCK: a FIFO in the place of a file must not hang us. */
	fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd == -1)
		return errno == ENOENT ? CONTROL_ABSENT : CONTROL_ERROR;
	result = control_read_fd(fd, text, max_bytes);
	error = errno;
	close(fd);
	errno = error;
	return result;
}

static enum control_result read_control(int homefd, const char *name,
					struct str *text)
{
	struct str path = { 0 };
	enum control_result result;
	int error;

	str_appendf(&path, "control/%s", name);
	result = control_read(homefd, str_c(&path), text, CONTROL_MAX_BYTES);
	error = errno;
	str_free(&path);
	/* What a power cut leaves of a file is often all NULs. */
	if (result == CONTROL_OK && view_has(str_view(text), '\0')) {
		str_reset(text);
		error = EINVAL;
		result = CONTROL_ERROR;
	}
	errno = error;
	return result;
}

enum control_result control_line(int homefd, const char *name,
				 struct str *value)
{
	enum control_result result = read_control(homefd, name, value);

	if (result == CONTROL_OK) {
		struct view line = str_view(value);

		line = view_first(line, view_find(line, '\n'));
		str_truncate(value, view_trim_end(line).len);
	}
	return result;
}

enum control_result control_line_or_me(int homefd, const char *name,
				       struct str *value)
{
	enum control_result result = control_line(homefd, name, value);

	if (result == CONTROL_ERROR || value->len)
		return result;
	return control_line(homefd, "me", value);
}

enum control_result control_u64(int homefd, const char *name, uint64_t *value)
{
	struct str line = { 0 };
	enum control_result result = control_line(homefd, name, &line);

	/* An empty file counts as absent, as in qmail. */
	if (result == CONTROL_OK && line.len == 0)
		result = CONTROL_ABSENT;
	if (result == CONTROL_OK &&
	    !view_u64(view_trim(str_view(&line)), value)) {
		errno = EINVAL;
		result = CONTROL_ERROR;
	}
	if (result == CONTROL_ERROR) {
		int error = errno;

		str_free(&line);
		errno = error;
		return result;
	}
	str_free(&line);
	return result;
}

void control_list_parse(struct control_list *list, struct view text)
{
	while (text.p) {
		struct view line = view_trim_end(view_cut(&text, '\n'));

		if (line.len == 0 || line.p[0] == '#' || view_has(line, '\0'))
			continue;
		str_append(&list->entries, line);
		str_append_byte(&list->entries, '\0');
	}
}

enum control_result control_list(int homefd, const char *name,
				 struct control_list *list)
{
	struct str text = { 0 };
	enum control_result result = read_control(homefd, name, &text);
	int error = errno;

	str_reset(&list->entries);
	if (result == CONTROL_OK)
		control_list_parse(list, str_view(&text));
	str_free(&text);
	errno = error;
	return result;
}

struct view control_list_start(const struct control_list *list)
{
	return str_view(&list->entries);
}

bool control_list_next(struct view *rest, struct view *entry)
{
	if (rest->len == 0)
		return false;
	*entry = view_cut(rest, '\0');
	return true;
}

void control_list_free(struct control_list *list)
{
	str_free(&list->entries);
}
