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

/* Find the line of `name` and parse `count` numbers behind it. */
static int find(const struct ids *ids, struct view name, uint64_t *numbers,
		size_t count)
{
	struct view rest = str_view(&ids->text);

	while (rest.p) {
		struct view line = view_cut(&rest, '\n');

		if (!view_eq(next_word(&line), name))
			continue;
		for (size_t i = 0; i < count; i++) {
			if (view_u64(next_word(&line), &numbers[i]) &&
			    numbers[i] < UINT32_MAX)
				continue;
			errno = EINVAL;
			return -1;
		}
		return 0;
	}
	errno = ENOENT;
	return -1;
}

int ids_load(struct ids *ids, int homefd)
{
	uint64_t pair[2];

	*ids = (struct ids){ 0 };
	switch (control_read(homefd, "users/ids", &ids->text, IDS_MAX_BYTES)) {
	case CONTROL_OK:
		break;
	case CONTROL_ABSENT:
		errno = ENOENT;
		return -1;
	case CONTROL_ERROR:
		return -1;
	}
	if (find(ids, VIEW("single"), pair, 2) == 0) {
		ids->single = true;
		ids->single_uid = (uid_t)pair[0];
		ids->single_gid = (gid_t)pair[1];
	} else if (errno != ENOENT) {
		return -1;
	}
	return 0;
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

int ids_become(uid_t uid, gid_t gid)
{
	uid_t ruid;
	uid_t euid;
	uid_t suid;

	if (geteuid() == 0) {
		if (setgroups(1, &gid) == -1 || setresgid(gid, gid, gid) == -1 ||
		    setresuid(uid, uid, uid) == -1)
			return -1;
	}
	if (getresuid(&ruid, &euid, &suid) == -1)
		return -1;
	if (ruid != uid || euid != uid || suid != uid || getegid() != gid) {
		errno = EPERM;
		return -1;
	}
	/* What was given up must not come back. */
	if (uid != 0 && setuid(0) == 0) {
		errno = EPERM;
		return -1;
	}
	return 0;
}
