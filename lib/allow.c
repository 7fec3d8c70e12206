#include "lib/allow.h"

#include <errno.h>
#include <sys/stat.h>

#define LOWEST_OF_RANGE 100

enum control_result allow_load(int homefd, struct control_list *list)
{
	struct stat st;

	if (fstatat(homefd, "control/deliveryids", &st, 0) == -1)
		return errno == ENOENT ? CONTROL_ABSENT : CONTROL_ERROR;
	if (st.st_uid != 0 || st.st_mode & 022) {
		errno = EPERM;
		return CONTROL_ERROR;
	}
	return control_list(homefd, "deliveryids", list);
}

void allow_free(struct allow_table *table)
{
	control_list_free(&table->list);
	*table = (struct allow_table){ 0 };
}

enum control_result allow_renew(struct allow_table *table, int homefd)
{
	enum control_result result;
	struct filemark now;

	if (filemark_look(&now, homefd, "control/deliveryids") == 0 &&
	    table->is_loaded && filemark_is_settled(&table->mark) &&
	    filemark_same(&table->mark, &now))
		return CONTROL_OK;
	allow_free(table);
	result = allow_load(homefd, &table->list);
	table->is_loaded = result == CONTROL_OK;
	table->mark = now;
	return result;
}

/* `low-high` holds uid. */
static bool in_range(struct view entry, uid_t uid, gid_t gid)
{
	struct view low_text = view_cut(&entry, '-');
	uint64_t low;
	uint64_t high;

	return view_u64(low_text, &low) && view_u64(entry, &high) &&
	       uid >= low && uid <= high && uid >= LOWEST_OF_RANGE &&
	       gid >= LOWEST_OF_RANGE;
}

static bool entry_allows(struct view entry, uid_t uid, gid_t gid)
{
	struct view uid_text;
	uint64_t number;

	if (view_has(entry, '-'))
		return in_range(entry, uid, gid);
	uid_text = view_cut(&entry, ' ');
	if (!view_u64(uid_text, &number) || number != uid)
		return false;
	return !entry.p ||
	       (view_u64(view_trim(entry), &number) && number == gid);
}

bool allow_ids(const struct control_list *list, uid_t uid, gid_t gid)
{
	struct view rest = control_list_start(list);
	struct view entry;

	if (uid == 0 || gid == 0)
		return false;
	while (control_list_next(&rest, &entry))
		if (entry_allows(entry, uid, gid))
			return true;
	return false;
}

static bool has_dotdot(struct view path)
{
	while (path.p)
		if (view_eq(view_cut(&path, '/'), VIEW("..")))
			return true;
	return false;
}

/* home is prefix, or prefix, a slash and something. */
static bool is_below(struct view home, struct view prefix)
{
	while (prefix.len && prefix.p[prefix.len - 1] == '/')
		prefix.len--;
	return view_starts(home, prefix) &&
	       (home.len == prefix.len || home.p[prefix.len] == '/');
}

bool allow_home(const struct control_list *list, struct view home)
{
	struct view rest = control_list_start(list);
	struct view entry;

	if (!view_starts(home, VIEW("/")) || has_dotdot(home))
		return false;
	while (control_list_next(&rest, &entry))
		if (entry.p[0] == '/' && is_below(home, entry))
			return true;
	return false;
}
