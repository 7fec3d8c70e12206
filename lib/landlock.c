#include "lib/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The same numbers on every architecture. */
#define NR_CREATE_RULESET 444
#define NR_ADD_RULE 445
#define NR_RESTRICT_SELF 446

#define CREATE_RULESET_VERSION 1
#define RULE_PATH_BENEATH 1

/* Version 1: */
#define FS_EXECUTE (UINT64_C(1) << 0)
#define FS_WRITE_FILE (UINT64_C(1) << 1)
#define FS_READ_FILE (UINT64_C(1) << 2)
#define FS_READ_DIR (UINT64_C(1) << 3)
#define FS_REMOVE_FILE (UINT64_C(1) << 5)
#define FS_MAKE_REG (UINT64_C(1) << 8)
#define FS_MAKE_SOCK (UINT64_C(1) << 9)
#define FS_VERSION_1 ((UINT64_C(1) << 13) - 1)
#define FS_REFER (UINT64_C(1) << 13)     /* version 2 */
#define FS_TRUNCATE (UINT64_C(1) << 14)  /* version 3 */
#define FS_IOCTL_DEV (UINT64_C(1) << 15) /* version 5 */

/* What may be said of a file that is no directory. */
#define FS_OF_FILES                                                            \
	(FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV)

#define NET_BIND_TCP (UINT64_C(1) << 0) /* version 4 */
#define NET_CONNECT_TCP (UINT64_C(1) << 1)
#define SCOPE_ABSTRACT_UNIX (UINT64_C(1) << 0) /* version 6 */
#define SCOPE_SIGNAL (UINT64_C(1) << 1)

struct ruleset_attr {
	uint64_t handled_fs;
	uint64_t handled_net;
	uint64_t scoped;
};

struct path_beneath_attr {
	uint64_t allowed;
	int32_t fd;
} __attribute__((packed));

int landlock_version(void)
{
	long version =
		syscall(NR_CREATE_RULESET, NULL, 0, CREATE_RULESET_VERSION);

	return version > 0 ? (int)version : 0;
}

/* Everything this kernel can forbid. */
static struct ruleset_attr everything(int version, bool tcp)
{
	struct ruleset_attr attr = { .handled_fs = FS_VERSION_1 };

	if (version >= 2)
		attr.handled_fs |= FS_REFER;
	if (version >= 3)
		attr.handled_fs |= FS_TRUNCATE;
	if (version >= 4 && !tcp)
		attr.handled_net = NET_BIND_TCP | NET_CONNECT_TCP;
	if (version >= 5)
		attr.handled_fs |= FS_IOCTL_DEV;
	if (version >= 6)
		attr.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
	return attr;
}

static uint64_t fs_rights(unsigned rights)
{
	uint64_t fs = 0;

	if (rights & LANDLOCK_READ)
		fs |= FS_READ_FILE | FS_READ_DIR;
	if (rights & LANDLOCK_WRITE)
		fs |= FS_WRITE_FILE | FS_REMOVE_FILE | FS_MAKE_REG |
		      FS_TRUNCATE;
	if (rights & LANDLOCK_MOVE)
		fs |= FS_REFER;
	if (rights & LANDLOCK_SOCKET)
		fs |= FS_MAKE_SOCK | FS_REMOVE_FILE;
	return fs;
}

static bool is_absent(int error)
{
	return error == ENOENT || error == ENOTDIR || error == EACCES;
}

static int add_rule(int ruleset, uint64_t handled,
		    const struct landlock_path *path)
{
	struct path_beneath_attr beneath;
	struct stat st;
	int result = 0;
	int error;
	int fd;

	fd = openat(path->dirfd, path->path, O_PATH | O_CLOEXEC);
	if (fd == -1)
		return is_absent(errno) ? 0 : -1;
	beneath.allowed = fs_rights(path->rights) & handled;
	beneath.fd = fd;
	if (fstat(fd, &st) == -1)
		result = -1;
	else if (!S_ISDIR(st.st_mode))
		beneath.allowed &= FS_OF_FILES;
	/* A rule that allows nothing would be refused. */
	if (result == 0 && beneath.allowed &&
	    syscall(NR_ADD_RULE, ruleset, RULE_PATH_BENEATH, &beneath, 0) == -1)
		result = -1;
	error = errno;
	close(fd);
	errno = error;
	return result;
}

static int add_rules(int ruleset, uint64_t handled,
		     const struct landlock_path *paths, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (add_rule(ruleset, handled, &paths[i]) == -1)
			return -1;
	return 0;
}

static bool wants_moves(const struct landlock_path *paths, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (paths[i].rights & LANDLOCK_MOVE)
			return true;
	return false;
}

enum landlock_result landlock_apply(const struct landlock_path *paths,
				    size_t count, bool tcp)
{
	int version = landlock_version();
	struct ruleset_attr attr = everything(version, tcp);
	int ruleset;
	int result;
	int error;

	/* Version 1 forbids every move between directories. */
	if (version == 0 || (version == 1 && wants_moves(paths, count)))
		return LANDLOCK_MISSING;
	ruleset = (int)syscall(NR_CREATE_RULESET, &attr, sizeof(attr), 0);
	if (ruleset == -1)
		return LANDLOCK_ERROR;
	result = add_rules(ruleset, attr.handled_fs, paths, count);
	if (result == 0)
		result = (int)syscall(NR_RESTRICT_SELF, ruleset, 0);
	error = errno;
	close(ruleset);
	errno = error;
	return result == 0 ? LANDLOCK_OK : LANDLOCK_ERROR;
}
