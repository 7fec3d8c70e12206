#include "lib/vpasswd.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/control.h"
#include "lib/durable.h"
#include "lib/lock.h"
#include "lib/out.h"

#define MODE 0600

bool vpasswd_is_field(struct view value)
{
	for (size_t i = 0; i < value.len; i++) {
		unsigned char c = (unsigned char)value.p[i];

		if (c < ' ' || c == ':' || c == 0x7f)
			return false;
	}
	return true;
}

int vpasswd_parse(struct view name, struct view rest,
		  struct vpasswd_record *record)
{
	struct view fields[6];

	*record = (struct vpasswd_record){ .name = name };
	if (view_has(rest, '\0') || view_has(rest, '\n') || name.len == 0)
		goto bad;
	for (size_t i = 0; i < COUNT_OF(fields); i++) {
		if (!rest.p)
			goto bad;
		fields[i] = view_cut(&rest, ':');
	}
	record->crypt = fields[0];
	record->gecos = fields[3];
	record->dir = fields[4];
	record->quota = fields[5];
	/* The last field may hold colons: they were typed as a password. */
	record->clear = rest;
	if (!view_u64(fields[1], &record->uid) ||
	    !view_u64(fields[2], &record->gid) || record->dir.len == 0 ||
	    record->dir.p[0] != '/')
		goto bad;
	return 0;
bad:
	errno = EPROTO;
	return -1;
}

void vpasswd_format(struct str *to, const struct vpasswd_record *record)
{
	str_append(to, record->crypt);
	str_append_byte(to, ':');
	str_append_u64(to, record->uid);
	str_append_byte(to, ':');
	str_append_u64(to, record->gid);
	str_append_byte(to, ':');
	str_append(to, record->gecos);
	str_append_byte(to, ':');
	str_append(to, record->dir);
	str_append_byte(to, ':');
	str_append(to, record->quota);
	if (record->clear.len) {
		str_append_byte(to, ':');
		str_append(to, record->clear);
	}
}

static enum vpasswd_result find_in(struct cdbmap *map, struct view name,
				   struct str *space,
				   struct vpasswd_record *record)
{
	switch (cdbmap_find(map, name, space)) {
	case CDBMAP_FOUND:
		if (vpasswd_parse(name, str_view(space), record) == 0)
			return VPASSWD_FOUND;
		break;
	case CDBMAP_MISSING:
		return VPASSWD_MISSING;
	case CDBMAP_ERROR:
		break;
	}
	return VPASSWD_ERROR;
}

enum vpasswd_result vpasswd_find(int domainfd, struct view name,
				 struct str *space,
				 struct vpasswd_record *record)
{
	struct cdbmap map;
	enum vpasswd_result result;
	int error;

	if (cdbmap_open(&map, domainfd, "vpasswd.cdb") == -1)
		return VPASSWD_ERROR;
	result = find_in(&map, name, space, record);
	error = errno;
	cdbmap_close(&map);
	errno = error;
	return result;
}

/* Have the table in memory that is there now. False: it is too large. */
static bool renew(struct vpasswd_table *table, int domainfd)
{
	struct filemark now;

	if (filemark_look(&now, domainfd, "vpasswd.cdb") == -1)
		return false;
	if (table->is_loaded && filemark_is_settled(&table->mark) &&
	    filemark_same(&table->mark, &now))
		return true;
	vpasswd_table_free(table);
	if (now.size > VPASSWD_TABLE_BYTES ||
	    cdbmap_open(&table->map, domainfd, "vpasswd.cdb") == -1)
		return false;
	table->mark = now;
	table->is_loaded = cdbmap_load(&table->map, VPASSWD_TABLE_BYTES);
	if (!table->is_loaded)
		cdbmap_close(&table->map);
	return table->is_loaded;
}

enum vpasswd_result vpasswd_table_find(struct vpasswd_table *table,
				       int domainfd, struct view name,
				       struct str *space,
				       struct vpasswd_record *record)
{
	enum vpasswd_result result;

	if (!renew(table, domainfd))
		return vpasswd_find(domainfd, name, space, record);
	result = find_in(&table->map, name, space, record);
	/* What went wrong is looked at afresh the next time. */
	if (result == VPASSWD_ERROR)
		vpasswd_table_free(table);
	return result;
}

void vpasswd_table_free(struct vpasswd_table *table)
{
	int error = errno;

	if (table->is_loaded)
		cdbmap_close(&table->map);
	table->is_loaded = false;
	errno = error;
}

int vpasswd_list_begin(struct vpasswd_list *list, int domainfd)
{
	*list = (struct vpasswd_list){ 0 };
	return cdbmap_open(&list->map, domainfd, "vpasswd.cdb");
}

enum vpasswd_result vpasswd_list_next(struct vpasswd_list *list,
				      struct vpasswd_record *record)
{
	switch (cdbmap_next(&list->map, &list->at, &list->name, &list->space)) {
	case CDBMAP_FOUND:
		if (vpasswd_parse(str_view(&list->name), str_view(&list->space),
				  record) == 0)
			return VPASSWD_FOUND;
		break;
	case CDBMAP_MISSING:
		return VPASSWD_MISSING;
	case CDBMAP_ERROR:
		break;
	}
	return VPASSWD_ERROR;
}

void vpasswd_list_end(struct vpasswd_list *list)
{
	int error = errno;

	cdbmap_close(&list->map);
	str_free(&list->name);
	str_wipe(&list->space);
	errno = error;
}

/* Cut the next line; false at the end. Empty lines are passed over. */
static bool next_line(struct view *rest, struct view *line)
{
	while (rest->p) {
		*line = view_cut(rest, '\n');
		if (line->len)
			return true;
	}
	return false;
}

bool vpasswd_edit_next(struct view *rest, struct vpasswd_record *record)
{
	struct view line;

	while (next_line(rest, &line)) {
		struct view name = view_cut(&line, ':');

		if (vpasswd_parse(name, line, record) == 0)
			return true;
	}
	return false;
}

/* A line that is no record would be lost in the cdb: refuse to go on. */
static int check_text(struct view text)
{
	struct view line;

	while (next_line(&text, &line)) {
		struct view name = view_cut(&line, ':');
		struct vpasswd_record record;

		if (vpasswd_parse(name, line, &record) == -1)
			return -1;
	}
	return 0;
}

bool vpasswd_edit_find(const struct vpasswd_edit *edit, struct view name,
		       struct vpasswd_record *record)
{
	struct view rest = str_view(&edit->text);

	while (vpasswd_edit_next(&rest, record))
		if (view_eq(record->name, name))
			return true;
	return false;
}

static void put_line(struct str *text, const struct vpasswd_record *record)
{
	str_append(text, record->name);
	str_append_byte(text, ':');
	vpasswd_format(text, record);
	str_append_byte(text, '\n');
}

static bool is_before(struct view a, struct view b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int order = len ? memcmp(a.p, b.p, len) : 0;

	return order < 0 || (order == 0 && a.len < b.len);
}

/*
 * Copy all lines but those of `name`, and `record` (unless NULL) where the
 * first of them stood, else before the first name that is greater.
 */
static bool rewrite(struct vpasswd_edit *edit, struct view name,
		    const struct vpasswd_record *record)
{
	struct view rest = str_view(&edit->text);
	struct vpasswd_record old;
	bool had = vpasswd_edit_find(edit, name, &old);
	bool placed = record == NULL;
	struct str text = { 0 };
	struct view line;

	while (next_line(&rest, &line)) {
		struct view key = view_first(line, view_find(line, ':'));
		bool same = view_eq(key, name);

		if (!placed && (had ? same : is_before(name, key))) {
			put_line(&text, record);
			placed = true;
		}
		if (same)
			continue;
		str_append(&text, line);
		str_append_byte(&text, '\n');
	}
	if (!placed)
		put_line(&text, record);
	str_wipe(&edit->text);
	edit->text = text;
	return had;
}

static bool is_writable(const struct vpasswd_record *record)
{
	if (!vpasswd_is_field(record->name) || record->name.len == 0 ||
	    !vpasswd_is_field(record->crypt) ||
	    !vpasswd_is_field(record->gecos) ||
	    !vpasswd_is_field(record->dir) ||
	    !view_starts(record->dir, VIEW("/")) ||
	    !vpasswd_is_field(record->quota))
		return false;
	/* The last field may have colons, but no line end. */
	for (size_t i = 0; i < record->clear.len; i++)
		if (record->clear.p[i] == '\n' || record->clear.p[i] == '\0')
			return false;
	return true;
}

int vpasswd_edit_put(struct vpasswd_edit *edit,
		     const struct vpasswd_record *record)
{
	if (!is_writable(record)) {
		errno = EINVAL;
		return -1;
	}
	rewrite(edit, record->name, record);
	return 0;
}

bool vpasswd_edit_remove(struct vpasswd_edit *edit, struct view name)
{
	return rewrite(edit, name, NULL);
}

/* Does the cdb hold exactly these lines, in this order? */
static bool cdb_matches(int domainfd, struct view text)
{
	struct cdbmap map;
	struct str key = { 0 };
	struct str value = { 0 };
	struct view line;
	uint32_t at = 0;
	bool same;

	if (cdbmap_open(&map, domainfd, "vpasswd.cdb") == -1)
		return false;
	do {
		enum cdbmap_result got = cdbmap_next(&map, &at, &key, &value);

		if (!next_line(&text, &line)) {
			same = got == CDBMAP_MISSING;
			break;
		}
		same = got == CDBMAP_FOUND &&
		       view_eq(view_cut(&line, ':'), str_view(&key)) &&
		       view_eq(line, str_view(&value));
	} while (same);
	str_wipe(&key);
	str_wipe(&value);
	cdbmap_close(&map);
	return same;
}

static int write_cdb(int domainfd, struct view text)
{
	struct view line;
	struct cdbmap_writer *writer =
		cdbmap_write_begin(domainfd, "vpasswd.cdb", "cdb.tmp", MODE);

	if (!writer)
		return -1;
	while (next_line(&text, &line)) {
		struct view name = view_cut(&line, ':');

		if (cdbmap_write_add(writer, name, line) == -1) {
			int error = errno;

			cdbmap_write_abort(writer);
			errno = error;
			return -1;
		}
	}
	return cdbmap_write_commit(writer);
}

static int load(struct vpasswd_edit *edit, bool create)
{
	switch (control_read(edit->domainfd, "vpasswd", &edit->text,
			     VPASSWD_MAX_BYTES)) {
	case CONTROL_OK:
		break;
	case CONTROL_ABSENT:
		if (!create) {
			errno = ENOENT;
			return -1;
		}
		return 0;
	case CONTROL_ERROR:
		return -1;
	}
	if (check_text(str_view(&edit->text)) == -1)
		return -1;
	if (!cdb_matches(edit->domainfd, str_view(&edit->text)))
		return write_cdb(edit->domainfd, str_view(&edit->text));
	return 0;
}

int vpasswd_edit_begin(struct vpasswd_edit *edit, int domainfd, bool create)
{
	*edit = (struct vpasswd_edit){ .domainfd = domainfd };
	edit->lock = lock_open(domainfd, ".vpasswd.lock", MODE);
	if (edit->lock == -1)
		return -1;
	if (load(edit, create) == -1) {
		vpasswd_edit_free(edit);
		return -1;
	}
	return 0;
}

/* Replace vpasswd. The temporary name is ours alone, under the lock. */
static int write_text(int domainfd, struct view text)
{
	struct durable file;

	if (durable_begin_temp(&file, domainfd, "vpasswd", "vpasswd.bak",
			       MODE) == -1)
		return -1;
	if (write_all(file.fd, text) == -1) {
		durable_abort(&file);
		return -1;
	}
	return durable_commit(&file);
}

int vpasswd_edit_commit(struct vpasswd_edit *edit)
{
	struct view text = str_view(&edit->text);

	if (check_text(text) == -1 || write_text(edit->domainfd, text) == -1)
		return -1;
	return write_cdb(edit->domainfd, text);
}

void vpasswd_edit_free(struct vpasswd_edit *edit)
{
	int error = errno;

	if (edit->lock != -1)
		close(edit->lock);
	edit->lock = -1;
	str_wipe(&edit->text);
	errno = error;
}
