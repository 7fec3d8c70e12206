#include "tools/vpopmail/vlines.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/control.h"
#include "lib/durable.h"
#include "lib/lock.h"
#include "lib/out.h"

#define MAX_BYTES ((size_t)256 * 1024 * 1024)

static int load(struct vlines *lines)
{
	struct stat st;

	switch (control_read(lines->dirfd, str_c(&lines->path), &lines->text,
			     MAX_BYTES)) {
	case CONTROL_OK:
		break;
	case CONTROL_ABSENT:
		lines->mode = 0644;
		return 0;
	case CONTROL_ERROR:
		return -1;
	}
	if (fstatat(lines->dirfd, str_c(&lines->path), &st, 0) == -1)
		return -1;
	lines->existed = true;
	lines->mode = st.st_mode & 07777;
	lines->uid = st.st_uid;
	lines->gid = st.st_gid;
	str_append(&lines->before, str_view(&lines->text));
	if (lines->text.len && lines->text.p[lines->text.len - 1] != '\n')
		str_append_byte(&lines->text, '\n');
	return 0;
}

int vlines_begin(struct vlines *lines, int dirfd, const char *path)
{
	struct str lock = { 0 };

	*lines = (struct vlines){ .dirfd = dirfd };
	str_set_c(&lines->path, path);
	str_appendf(&lock, "%s.lock", path);
	lines->lock = lock_open(dirfd, str_c(&lock), 0600);
	str_free(&lock);
	if (lines->lock == -1 || load(lines) == -1) {
		vlines_abort(lines);
		return -1;
	}
	return 0;
}

int vlines_read(struct vlines *lines, int dirfd, const char *path)
{
	*lines = (struct vlines){ .dirfd = dirfd, .lock = -1 };
	str_set_c(&lines->path, path);
	if (load(lines) == 0)
		return 0;
	vlines_abort(lines);
	return -1;
}

bool vlines_next(struct view *rest, struct view *line)
{
	if (!rest->p || rest->len == 0)
		return false;
	*line = view_trim_end(view_cut(rest, '\n'));
	return true;
}

bool vlines_has(const struct vlines *lines, struct view line)
{
	struct view rest = str_view(&lines->text);
	struct view other;

	while (vlines_next(&rest, &other))
		if (view_eq_nocase(other, line))
			return true;
	return false;
}

size_t vlines_count(const struct vlines *lines)
{
	struct view rest = str_view(&lines->text);
	struct view line;
	size_t count = 0;

	while (vlines_next(&rest, &line))
		count++;
	return count;
}

void vlines_add(struct vlines *lines, struct view line)
{
	if (vlines_has(lines, line))
		return;
	str_append(&lines->text, line);
	str_append_byte(&lines->text, '\n');
}

static bool is_after(struct view other, struct view line)
{
	size_t len = other.len < line.len ? other.len : line.len;
	int order = len ? memcmp(other.p, line.p, len) : 0;

	return order > 0 || (order == 0 && other.len > line.len);
}

void vlines_add_sorted(struct vlines *lines, struct view line)
{
	struct view rest = str_view(&lines->text);
	struct str text = { 0 };
	struct view other;
	bool placed = vlines_has(lines, line);

	while (vlines_next(&rest, &other)) {
		if (!placed &&
		    (view_eq(other, VIEW(".")) || is_after(other, line))) {
			str_append(&text, line);
			str_append_byte(&text, '\n');
			placed = true;
		}
		str_append(&text, other);
		str_append_byte(&text, '\n');
	}
	if (!placed) {
		str_append(&text, line);
		str_append_byte(&text, '\n');
	}
	str_free(&lines->text);
	lines->text = text;
}

void vlines_remove(struct vlines *lines, struct view line, bool prefix)
{
	struct view rest = str_view(&lines->text);
	struct str text = { 0 };
	struct view other;

	while (vlines_next(&rest, &other)) {
		if (prefix ? view_starts_nocase(other, line)
			   : view_eq_nocase(other, line))
			continue;
		str_append(&text, other);
		str_append_byte(&text, '\n');
	}
	str_free(&lines->text);
	lines->text = text;
}

static int write_text(struct vlines *lines)
{
	struct durable file;

	if (durable_begin(&file, lines->dirfd, str_c(&lines->path),
			  lines->mode) == -1)
		return -1;
	if (write_all(file.fd, str_view(&lines->text)) == -1 ||
	    (lines->existed && geteuid() == 0 &&
	     fchown(file.fd, lines->uid, lines->gid) == -1)) {
		durable_abort(&file);
		return -1;
	}
	return durable_commit(&file);
}

int vlines_end(struct vlines *lines)
{
	int result = 0;

	if (!view_eq(str_view(&lines->text), str_view(&lines->before)))
		result = write_text(lines);
	vlines_abort(lines);
	return result;
}

void vlines_abort(struct vlines *lines)
{
	int error = errno;

	if (lines->lock != -1)
		close(lines->lock);
	lines->lock = -1;
	str_free(&lines->path);
	str_free(&lines->text);
	str_free(&lines->before);
	errno = error;
}
