#include "lib/vdomain.h"

#include <errno.h>
#include <fcntl.h>

#include "lib/cdbmap.h"

static int parse_id(struct view digits, uint32_t *id)
{
	uint64_t value;

	if (!view_u64(digits, &value) || value >= UINT32_MAX)
		return -1;
	*id = (uint32_t)value;
	return 0;
}

/* user NUL uid NUL gid NUL home NUL dash NUL pre NUL */
static int parse(struct view data, struct vdomain *found)
{
	struct view user = view_cut(&data, '\0');
	struct view uid = view_cut(&data, '\0');
	struct view gid = view_cut(&data, '\0');
	struct view dir = view_cut(&data, '\0');
	struct view dash = view_cut(&data, '\0');

	if (parse_id(uid, &found->uid) == -1 ||
	    parse_id(gid, &found->gid) == -1 || user.len == 0 || dir.len == 0 ||
	    dir.p[0] != '/' || !data.p || !view_eq(dash, VIEW("-"))) {
		errno = EPROTO;
		return -1;
	}
	str_set(&found->real, user);
	str_set(&found->dir, dir);
	return 0;
}

enum vdomain_result vdomain_find(int homefd, struct view domain,
				 struct vdomain *found)
{
	enum vdomain_result result = VDOMAIN_ERROR;
	struct str key = { 0 };
	struct str data = { 0 };
	struct cdbmap map;
	int error;

	if (cdbmap_open(&map, homefd, "users/cdb") == -1)
		return errno == ENOENT ? VDOMAIN_MISSING : VDOMAIN_ERROR;
	str_append_byte(&key, '!');
	str_append(&key, domain);
	str_append_byte(&key, '-');
	switch (cdbmap_find(&map, str_view(&key), &data)) {
	case CDBMAP_FOUND:
		if (parse(str_view(&data), found) == 0)
			result = VDOMAIN_FOUND;
		break;
	case CDBMAP_MISSING:
		result = VDOMAIN_MISSING;
		break;
	case CDBMAP_ERROR:
		break;
	}
	error = errno;
	cdbmap_close(&map);
	str_free(&key);
	str_free(&data);
	errno = error;
	return result;
}

int vdomain_open(struct vdomain *domain)
{
	return openat(AT_FDCWD, str_c(&domain->dir),
		      O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

void vdomain_free(struct vdomain *domain)
{
	str_free(&domain->real);
	str_free(&domain->dir);
}
