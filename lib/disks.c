#include "lib/disks.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/mutant.h"
#include "lib/qformat.h"
#include "lib/record.h"

#define MOUNTS_MAX_BYTES ((size_t)16 * 1024 * 1024)
#define READ_BYTES 65536
#define DEVICE_BYTES 8

int disks_open(void)
{
	return open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
}

static bool has(struct view list, dev_t dev)
{
	for (; list.len >= DEVICE_BYTES; list = view_from(list, DEVICE_BYTES))
		if (le64_read(list.p) == dev)
			return true;
	return false;
}

/* `8:1` */
static bool parse_device(struct view text, dev_t *dev)
{
	struct view first = view_cut(&text, ':');
	uint64_t high;
	uint64_t low;

	if (!view_u64(first, &high) || !view_u64(text, &low) ||
	    high > UINT32_MAX || low > UINT32_MAX)
		return false;
	*dev = makedev((unsigned)high, (unsigned)low);
	return true;
}

/* ID PARENT DEVICE ROOT PLACE OPTIONS [MORE ...] - TYPE SOURCE OPTIONS */
void disks_add_line(struct str *list, struct view line)
{
	struct view type;
	char bytes[DEVICE_BYTES];
	dev_t dev;

	view_cut(&line, ' ');
	view_cut(&line, ' ');
	if (!parse_device(view_cut(&line, ' '), &dev) ||
	    has(str_view(list), dev))
		return;
	while (line.p && !view_eq(view_cut(&line, ' '), VIEW("-"))) {
		/* What stands before its type. */
	}
	type = view_cut(&line, ' ');
	/* A btrfs has other devices for its subvolumes: see below. */
	if (!view_eq(type, VIEW("xfs")) &&
	    !(view_eq(type, VIEW("ext4")) && qformat_ext4_allows(dev)))
		return;
	le64_write(bytes, dev);
	str_append(list, view_make(bytes, sizeof(bytes)));
}

/* Read it anew, from its beginning. */
static int read_mounts(int mounts, struct str *text)
{
	ssize_t got;

	if (lseek(mounts, 0, SEEK_SET) == -1)
		return -1;
	do {
		str_reserve(text, READ_BYTES);
		got = read(mounts, text->p + text->len, READ_BYTES);
		if (got == -1 && errno != EINTR)
			return -1;
		if (got > 0)
			text->len += (size_t)got;
		if (text->len > MOUNTS_MAX_BYTES) {
			errno = EFBIG;
			return -1;
		}
	} while (got != 0);
	return 0;
}

int disks_list(int mounts, struct str *list)
{
	struct str text = { 0 };
	struct view rest;
	int result = read_mounts(mounts, &text);
	int error = errno;

	str_reset(list);
	rest = str_view(&text);
	while (result == 0 && rest.len)
		disks_add_line(list, view_cut(&rest, '\n'));
	str_free(&text);
	errno = error;
	return result;
}

bool disks_name_first(struct view list, dev_t dev, int fd)
{
	struct statfs fs;

	if (!list.p)
		return false;
	return has(list, dev) || MUTANT(maildir_journal_anywhere) ||
	       (fstatfs(fd, &fs) == 0 && fs.f_type == BTRFS_SUPER_MAGIC);
}
