#include "lib/qformat.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/control.h"
#include "lib/durable.h"
#include "lib/out.h"
#include "lib/random.h"
#include "lib/record.h"

#define FORMAT_PATH "queue/format"
#define FORMAT_MAX_BYTES 65536
#define SPLIT_MAX 100000

/* ---- reading ---- */

static enum qformat_result senseless(void)
{
	errno = EINVAL;
	return QFORMAT_ERROR;
}

/* The first line: `valija-queue 1`. */
static enum qformat_result parse_version(struct view line)
{
	uint64_t version;

	if (!view_eq(view_cut(&line, ' '), VIEW("valija-queue")) ||
	    !view_u64(line, &version) || version == 0)
		return senseless();
	return version > QFORMAT_VERSION ? QFORMAT_NEWER : QFORMAT_OK;
}

static bool parse_identity(struct view value, char *identity)
{
	if (value.len != QFORMAT_IDENTITY_BYTES)
		return false;
	for (size_t i = 0; i < value.len; i++) {
		char c = value.p[i];

		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
			return false;
	}
	memcpy(identity, value.p, value.len);
	identity[value.len] = '\0';
	return true;
}

/* One `name value` line; names we do not know are skipped. */
static bool parse_line(struct view line, struct qformat *format)
{
	struct view name = view_cut(&line, ' ');

	if (view_eq(name, VIEW("split")))
		return view_u64(line, &format->split) && format->split > 0 &&
		       format->split <= SPLIT_MAX;
	if (view_eq(name, VIEW("sync")))
		format->sync = view_eq(line, VIEW("journal")) ? QSYNC_JOURNAL
							      : QSYNC_POSIX;
	if (view_eq(name, VIEW("identity")))
		return parse_identity(line, format->identity);
	return true;
}

enum qformat_result qformat_parse(struct view text, struct qformat *format)
{
	enum qformat_result result;

	*format = (struct qformat){ .sync = QSYNC_POSIX };
	result = parse_version(view_cut(&text, '\n'));
	if (result != QFORMAT_OK)
		return result;
	while (text.p)
		if (!parse_line(view_cut(&text, '\n'), format))
			return senseless();
	if (format->split == 0 || format->identity[0] == '\0')
		return senseless();
	return QFORMAT_OK;
}

/* control/queuesync may ask for more care than the file system needs. */
static enum qformat_result apply_queuesync(int homefd, struct qformat *format)
{
	struct str value = { 0 };
	enum control_result result = control_line(homefd, "queuesync", &value);

	if (result == CONTROL_OK && view_eq(str_view(&value), VIEW("posix")))
		format->sync = QSYNC_POSIX;
	str_free(&value);
	return result == CONTROL_ERROR ? QFORMAT_ERROR : QFORMAT_OK;
}

/* control/queuelog with a 0 makes every message a file at once. */
static enum qformat_result apply_queuelog(int homefd, struct qformat *format)
{
	struct str value = { 0 };
	enum control_result result = control_line(homefd, "queuelog", &value);

	format->files_only =
		result == CONTROL_OK && view_eq(str_view(&value), VIEW("0"));
	str_free(&value);
	return result == CONTROL_ERROR ? QFORMAT_ERROR : QFORMAT_OK;
}

enum qformat_result qformat_load(int homefd, struct qformat *format)
{
	struct str text = { 0 };
	enum qformat_result result = QFORMAT_ERROR;
	int error;

	switch (control_read(homefd, FORMAT_PATH, &text, FORMAT_MAX_BYTES)) {
	case CONTROL_OK:
		result = qformat_parse(str_view(&text), format);
		break;
	case CONTROL_ABSENT:
		result = QFORMAT_ABSENT;
		break;
	case CONTROL_ERROR:
		break;
	}
	if (result == QFORMAT_OK)
		result = apply_queuesync(homefd, format);
	if (result == QFORMAT_OK)
		result = apply_queuelog(homefd, format);
	error = errno;
	str_free(&text);
	errno = error;
	return result;
}

void qformat_path(const struct qformat *format, struct str *path,
		  const char *folder, uint64_t id)
{
	str_set_c(path, "queue/");
	str_append_c(path, folder);
	str_append_byte(path, '/');
	str_append_u64(path, id % format->split);
	str_append_byte(path, '/');
	str_append_u64(path, id);
}

/* ---- what the file system promises ---- */

#define EXT4_SUPERBLOCK_AT 1024
#define EXT4_SUPERBLOCK_BYTES 1024
#define EXT4_MAGIC_AT 0x38  /* 16 bits, 53 ef */
#define EXT4_COMPAT_AT 0x5c /* 32 bits, below: its first two bytes */
#define EXT4_COMPAT_HAS_JOURNAL 0x0004
#define EXT4_COMPAT_FAST_COMMIT 0x0400

/* The kernel's name of the device, as in /proc/fs/ext4/NAME. */
static bool device_name(dev_t device, struct str *name)
{
	char target[512];
	ssize_t len;

	str_reset(name);
	str_appendf(name, "/sys/dev/block/%u:%u", major(device), minor(device));
	len = readlink(str_c(name), target, sizeof(target));
	if (len <= 0 || (size_t)len == sizeof(target))
		return false;
	str_set(name, view_make(target, (size_t)len));
	str_remove(name, 0, view_find_last(str_view(name), '/') + 1);
	return true;
}

/* ext2 and ext3 have the same magic; only ext4's driver is known. */
static bool mounted_as_ext4(struct view device)
{
	struct str path = { 0 };
	bool yes;

	str_append_c(&path, "/proc/fs/ext4/");
	str_append(&path, device);
	str_append_c(&path, "/options");
	yes = access(str_c(&path), F_OK) == 0;
	str_free(&path);
	return yes;
}

/*
 * A journal and no fast commits? Nothing in /proc tells the second, so the
 * superblock is asked; without permission to read it, the answer is no.
 */
static bool superblock_allows(struct view device, dev_t number)
{
	unsigned char block[EXT4_SUPERBLOCK_BYTES];
	struct str path = { 0 };
	struct stat st;
	bool yes = false;
	int fd;

	str_append_c(&path, "/dev/");
	str_append(&path, device);
	fd = open(str_c(&path), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	str_free(&path);
	if (fd == -1)
		return false;
	if (fstat(fd, &st) == 0 && S_ISBLK(st.st_mode) &&
	    st.st_rdev == number &&
	    pread(fd, block, sizeof(block), EXT4_SUPERBLOCK_AT) ==
		    (ssize_t)sizeof(block)) {
		unsigned compat = block[EXT4_COMPAT_AT] |
				  (unsigned)block[EXT4_COMPAT_AT + 1] << 8;

		yes = block[EXT4_MAGIC_AT] == 0x53 &&
		      block[EXT4_MAGIC_AT + 1] == 0xef &&
		      (compat & EXT4_COMPAT_HAS_JOURNAL) &&
		      !(compat & EXT4_COMPAT_FAST_COMMIT);
	}
	close(fd);
	return yes;
}

bool qformat_ext4_allows(dev_t number)
{
	struct str device = { 0 };
	bool yes = device_name(number, &device) &&
		   mounted_as_ext4(str_view(&device)) &&
		   superblock_allows(str_view(&device), number);

	str_free(&device);
	return yes;
}

enum qsync qformat_probe_sync(int dirfd)
{
	struct statfs fs;
	struct stat st;

	if (fstatfs(dirfd, &fs) == -1 || fstat(dirfd, &st) == -1)
		return QSYNC_POSIX;
	if (fs.f_type == XFS_SUPER_MAGIC || fs.f_type == BTRFS_SUPER_MAGIC)
		return QSYNC_JOURNAL;
	if (fs.f_type == EXT4_SUPER_MAGIC && qformat_ext4_allows(st.st_dev))
		return QSYNC_JOURNAL;
	return QSYNC_POSIX;
}

/* ---- making one ---- */

static int make_folder(int homefd, const char *path, mode_t mode)
{
	if (mkdirat(homefd, path, mode) == -1)
		return errno == EEXIST ? 0 : -1;
	return fchmodat(homefd, path, mode, 0);
}

static int make_shards(int homefd, const char *folder, mode_t mode,
		       uint64_t split)
{
	struct str path = { 0 };
	int result;

	str_appendf(&path, "queue/%s", folder);
	result = make_folder(homefd, str_c(&path), mode);
	for (uint64_t shard = 0; result == 0 && shard < split; shard++) {
		str_reset(&path);
		str_appendf(&path, "queue/%s/%lu", folder,
			    (unsigned long)shard);
		result = make_folder(homefd, str_c(&path), mode);
	}
	str_free(&path);
	return result;
}

static int make_folders(int homefd, uint64_t split)
{
	if (make_folder(homefd, "queue", 0755) == -1 ||
	    make_folder(homefd, "queue/bad", 0770) == -1 ||
	    make_folder(homefd, "queue/log", 0770) == -1 ||
	    make_folder(homefd, "queue/socket", 0755) == -1 ||
	    make_folder(homefd, "queue/lock", 0711) == -1 ||
	    make_shards(homefd, "pid", 0700, split) == -1 ||
	    make_shards(homefd, "new", 0770, split) == -1 ||
	    make_shards(homefd, "mess", 0770, split) == -1 ||
	    make_shards(homefd, "bounce", 0700, split) == -1)
		return -1;
	return 0;
}

static int make_trigger(int homefd)
{
	if (mkfifoat(homefd, "queue/lock/trigger", 0620) == -1)
		return errno == EEXIST ? 0 : -1;
	return fchmodat(homefd, "queue/lock/trigger", 0620, 0);
}

static int make_empty_file(int homefd, const char *path, mode_t mode)
{
	int fd = openat(
		homefd, path,
		O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, mode);

	if (fd == -1)
		return -1;
	return close(fd);
}

static int write_format(int homefd, uint64_t split)
{
	struct str text = { 0 };
	unsigned char identity[QFORMAT_IDENTITY_BYTES / 2];
	int queue = openat(homefd, "queue", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int result;
	int error;

	if (queue == -1)
		return -1;
	if (random_fill(identity, sizeof(identity)) == -1) {
		close(queue);
		return -1;
	}
	str_appendf(&text, "valija-queue %d\nsplit %lu\nsync %s\nidentity ",
		    QFORMAT_VERSION, (unsigned long)split,
		    qformat_probe_sync(queue) == QSYNC_JOURNAL ? "journal"
							       : "posix");
	close(queue);
	for (size_t i = 0; i < sizeof(identity); i++)
		str_appendf(&text, "%02x", identity[i]);
	str_append_byte(&text, '\n');
	result = durable_replace(homefd, FORMAT_PATH, str_view(&text), 0644);
	error = errno;
	str_free(&text);
	errno = error;
	return result;
}

int qformat_create(int homefd, uint64_t split)
{
	struct qformat format;
	bool absent = false;

	if (split == 0 || split > SPLIT_MAX) {
		errno = EINVAL;
		return -1;
	}
	switch (qformat_load(homefd, &format)) {
	case QFORMAT_OK:
		split = format.split;
		break;
	case QFORMAT_ABSENT:
		absent = true;
		break;
	case QFORMAT_NEWER:
		errno = EPROTONOSUPPORT;
		return -1;
	case QFORMAT_ERROR:
		return -1;
	}
	if (make_folders(homefd, split) == -1 || make_trigger(homefd) == -1 ||
	    make_empty_file(homefd, "queue/lock/sendmutex", 0600) == -1 ||
	    make_empty_file(homefd, "queue/lock/tcpto", 0644) == -1)
		return -1;
	return absent ? write_format(homefd, split) : 0;
}
