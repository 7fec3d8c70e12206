#include "lspawn/assign.h"

#include <errno.h>

#include "lib/cdbmap.h"

#define FIELDS 6
#define LOAD_MAX_BYTES ((size_t)1024 * 1024)

/* ---- reading users/cdb ---- */

/*
 * Try the whole key (with its NUL), then its beginnings that end where a
 * wildcard may end, longest first, down to `!` alone.
 */
static enum assign_result find_key(struct cdbmap *map, struct view key,
				   struct view wild_ends, size_t *used,
				   struct str *value)
{
	for (size_t len = key.len; len > 0; len--) {
		if (len < key.len && len > 1 &&
		    !view_has(wild_ends, key.p[len - 1]))
			continue;
		switch (cdbmap_find(map, view_first(key, len), value)) {
		case CDBMAP_FOUND:
			*used = len;
			return ASSIGN_FOUND;
		case CDBMAP_MISSING:
			break;
		case CDBMAP_ERROR:
			return ASSIGN_ERROR;
		}
	}
	return ASSIGN_MISSING;
}

static enum assign_result find_in(struct assign_table *table, struct view local,
				  struct str *record)
{
	struct str key = { 0 };
	enum assign_result result;
	size_t used;

	str_append_byte(&key, '!');
	str_append(&key, local);
	str_lower(&key);
	str_append_byte(&key, '\0');
	result = find_key(&table->map, str_view(&key),
			  str_view(&table->wild_ends), &used, record);
	if (result == ASSIGN_FOUND) {
		/* What follows the wildcard, in its own case. */
		if (used < key.len)
			str_append(record, view_from(local, used - 1));
		str_append_byte(record, '\0');
	}
	str_free(&key);
	return result;
}

void assign_close(struct assign_table *table)
{
	int error = errno;

	if (table->is_open)
		cdbmap_close(&table->map);
	str_free(&table->wild_ends);
	*table = (struct assign_table){ 0 };
	errno = error;
}

static int open_table(struct assign_table *table, int homefd)
{
	if (cdbmap_open(&table->map, homefd, "users/cdb") == -1)
		return -1;
	table->is_open = true;
	/* Else it is read piece by piece, as it is needed. */
	(void)cdbmap_load(&table->map, LOAD_MAX_BYTES);
	switch (cdbmap_find(&table->map, VIEW(""), &table->wild_ends)) {
	case CDBMAP_FOUND:
		return 0;
	case CDBMAP_MISSING: /* qmail-newu writes it always */
		errno = EPROTO;
		return -1;
	case CDBMAP_ERROR:
		return -1;
	}
	return -1;
}

/* Have the file open that is there now. -1 with errno. */
static int renew(struct assign_table *table, int homefd)
{
	struct filemark now;

	if (filemark_look(&now, homefd, "users/cdb") == -1)
		return -1;
	if (table->is_open && filemark_is_settled(&table->mark) &&
	    filemark_same(&table->mark, &now))
		return 0;
	assign_close(table);
	if (open_table(table, homefd) == -1)
		return -1;
	table->mark = now;
	return 0;
}

enum assign_result assign_find(struct assign_table *table, int homefd,
			       struct view local, struct str *record)
{
	enum assign_result result;

	if (renew(table, homefd) == -1)
		result = errno == ENOENT ? ASSIGN_MISSING : ASSIGN_ERROR;
	else if (view_has(local, '\0')) /* no key holds one but at its end */
		return ASSIGN_MISSING;
	else
		result = find_in(table, local, record);
	/* What went wrong is looked at afresh the next time. */
	if (result == ASSIGN_ERROR || !table->is_open)
		assign_close(table);
	return result;
}

static bool parse_id(struct view text, uint32_t *id)
{
	uint64_t number;

	if (!view_u64(text, &number) || number >= UINT32_MAX)
		return false;
	*id = (uint32_t)number;
	return true;
}

bool assign_parse(struct view record, struct assign *assign)
{
	struct view fields[FIELDS];

	if (record.len == 0 || record.p[record.len - 1] != '\0')
		return false;
	for (size_t i = 0; i < FIELDS; i++) {
		if (record.len == 0)
			return false;
		fields[i] = view_cut(&record, '\0');
	}
	if (record.len)
		return false;
	assign->user = fields[0];
	assign->home = fields[3];
	assign->dash = fields[4];
	assign->ext = fields[5];
	return parse_id(fields[1], &assign->uid) &&
	       parse_id(fields[2], &assign->gid);
}

/* ---- users/assign ---- */

bool assign_line(struct view line, struct str *key, struct str *value,
		 struct str *wild_ends)
{
	struct view name;
	bool is_wild;

	if (line.len == 0 || view_has(line, '\0') || !view_has(line, ':'))
		return false;
	if (line.p[0] != '=' && line.p[0] != '+')
		return false;
	is_wild = line.p[0] == '+';
	name = view_from(view_cut(&line, ':'), 1);
	str_set(key, VIEW("!"));
	str_append(key, name);
	str_lower(key);
	if (!is_wild)
		str_append_byte(key, '\0');
	if (is_wild && name.len &&
	    !view_has(str_view(wild_ends), key->p[key->len - 1]))
		str_append_byte(wild_ends, key->p[key->len - 1]);
	str_reset(value);
	for (size_t i = 0; i < FIELDS; i++) {
		if (!view_has(line, ':'))
			return false;
		if (i)
			str_append_byte(value, '\0');
		str_append(value, view_cut(&line, ':'));
	}
	return true;
}
