#include "lib/ids.h"

#include <errno.h>
#include <grp.h>
#include <unistd.h>

#include "lib/control.h"

#define IDS_MAX_BYTES 65536

/* The next word of a line of words. */
static struct view next_word(struct view *line)
{
	struct view word = { 0 };

	while (line->p && word.len == 0)
		word = view_cut(line, ' ');
	return word;
}

/* Parse `count` numbers, which are all that is left of the line. */
static int parse_numbers(struct view line, uint64_t *numbers, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!view_u64(next_word(&line), &numbers[i]) ||
		    numbers[i] >= UINT32_MAX) /* (uid_t)-1 means "no change" */
			goto bad;
	if (next_word(&line).len == 0)
		return 0;
bad:
	errno = EINVAL;
	return -1;
}

/* Find the line of `name` and parse `count` numbers behind it. */
static int find(const struct ids *ids, struct view name, uint64_t *numbers,
		size_t count)
{
	struct view rest = str_view(&ids->text);

	while (rest.p) {
		struct view line = view_cut(&rest, '\n');

		if (name.len && view_eq(next_word(&line), name))
			return parse_numbers(line, numbers, count);
	}
	errno = ENOENT;
	return -1;
}

/* Every line must be one, or a later question gets half an answer. */
static int check_lines(struct view rest)
{
	uint64_t numbers[2];

	while (rest.p) {
		struct view line = view_cut(&rest, '\n');
		struct view name = next_word(&line);
		size_t count = view_starts(name, VIEW("group:")) ? 1 : 2;

		if (name.len && parse_numbers(line, numbers, count) == -1)
			return -1;
	}
	return 0;
}

static int take_text(struct ids *ids)
{
	uint64_t pair[2];

	if (check_lines(str_view(&ids->text)) == -1)
		return -1;
	if (find(ids, VIEW("single"), pair, 2) == 0) {
		ids->single = true;
		ids->single_uid = (uid_t)pair[0];
		ids->single_gid = (gid_t)pair[1];
	}
	return 0;
}

int ids_load(struct ids *ids, int homefd)
{
	int error;

	*ids = (struct ids){ 0 };
	switch (control_read(homefd, "users/ids", &ids->text, IDS_MAX_BYTES)) {
	case CONTROL_OK:
		if (take_text(ids) == 0)
			return 0;
		break;
	case CONTROL_ABSENT:
		errno = ENOENT;
		break;
	case CONTROL_ERROR:
		break;
	}
	error = errno;
	ids_free(ids);
	errno = error;
	return -1;
}

int ids_user(const struct ids *ids, const char *name, uid_t *uid, gid_t *gid)
{
	uint64_t pair[2];

	if (ids->single) {
		*uid = ids->single_uid;
		*gid = ids->single_gid;
		return 0;
	}
	if (find(ids, view_of(name), pair, 2) == -1)
		return -1;
	*uid = (uid_t)pair[0];
	*gid = (gid_t)pair[1];
	return 0;
}

int ids_group(const struct ids *ids, const char *name, gid_t *gid)
{
	struct str key = { 0 };
	uint64_t number;
	int result;

	if (ids->single) {
		*gid = ids->single_gid;
		return 0;
	}
	str_appendf(&key, "group:%s", name);
	result = find(ids, str_view(&key), &number, 1);
	str_free(&key);
	if (result == 0)
		*gid = (gid_t)number;
	return result;
}

void ids_free(struct ids *ids)
{
	str_free(&ids->text);
}

/* Do the kernel's three ids, and the groups, say what was asked for? */
static bool is_group_alone(gid_t gid)
{
	gid_t ids[3];
	gid_t groups[2];
	int count = getgroups(2, groups);

	return getresgid(&ids[0], &ids[1], &ids[2]) == 0 && ids[0] == gid &&
	       ids[1] == gid && ids[2] == gid && count == 1 && groups[0] == gid;
}

static bool is_user(uid_t uid)
{
	uid_t ids[3];

	return getresuid(&ids[0], &ids[1], &ids[2]) == 0 && ids[0] == uid &&
	       ids[1] == uid && ids[2] == uid;
}

int ids_become(uid_t uid, gid_t gid)
{
	bool root = geteuid() == 0;

	if (root &&
	    (setgroups(1, &gid) == -1 || setresgid(gid, gid, gid) == -1 ||
	     setresuid(uid, uid, uid) == -1))
		return -1;
	/* What was given up must not come back. */
	if (!is_user(uid) || (root && !is_group_alone(gid)) ||
	    (uid != 0 && setuid(0) == 0)) {
		errno = EPERM;
		return -1;
	}
	return 0;
}
