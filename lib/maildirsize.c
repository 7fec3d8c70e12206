#include "lib/maildirsize.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/control.h"
#include "lib/out.h"

#define FILE_MAX_BYTES 5120 /* longer ones are made anew */
#define FRESH_S 900L        /* a full mailbox is not counted again before */

/* ---- the file ---- */

static bool take_signed(struct view *text, int64_t *value)
{
	struct view word;
	uint64_t number;
	bool minus;
	size_t len = 0;

	while (text->len && view_has(VIEW(" \t"), text->p[0]))
		*text = view_from(*text, 1);
	while (len < text->len && !view_has(VIEW(" \t"), text->p[len]))
		len++;
	word = view_first(*text, len);
	*text = view_from(*text, len);
	minus = view_starts(word, VIEW("-"));
	if (minus)
		word = view_from(word, 1);
	if (!view_u64(word, &number) || number > INT64_MAX)
		return false;
	*value = minus ? -(int64_t)number : (int64_t)number;
	return true;
}

int maildirsize_parse(struct view text, const struct vquota *quota,
		      struct maildirsize *usage, size_t *lines)
{
	struct vquota written;
	int64_t bytes = 0;
	int64_t messages = 0;

	*lines = 0;
	if (text.len == 0 || text.p[text.len - 1] != '\n' ||
	    vquota_parse(view_trim(view_cut(&text, '\n')), &written) == -1 ||
	    written.bytes != quota->bytes ||
	    written.messages != quota->messages)
		return -1;
	while (text.p && text.len) {
		struct view line = view_cut(&text, '\n');
		int64_t size;
		int64_t count;

		if (!take_signed(&line, &size) || !take_signed(&line, &count) ||
		    __builtin_add_overflow(bytes, size, &bytes) ||
		    __builtin_add_overflow(messages, count, &messages))
			return -1;
		(*lines)++;
	}
	if (bytes < 0 || messages < 0 || *lines == 0)
		return -1;
	usage->bytes = (uint64_t)bytes;
	usage->messages = (uint64_t)messages;
	return 0;
}

/* What maildirsize says. false: count. *fresh: counted a moment ago. */
static bool read_file(int at, const struct vquota *quota,
		      struct maildirsize *usage, bool *fresh)
{
	struct str text = { 0 };
	struct stat st;
	size_t lines;
	bool good;

	good = fstatat(at, "maildirsize", &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode) &&
	       control_read(at, "maildirsize", &text, FILE_MAX_BYTES) ==
		       CONTROL_OK &&
	       maildirsize_parse(str_view(&text), quota, usage, &lines) == 0;
	*fresh = good && lines == 1 &&
		 clock_wall_s() - st.st_mtim.tv_sec < FRESH_S;
	str_free(&text);
	return good;
}

void maildirsize_add(int at, int64_t bytes, int64_t messages)
{
	char line[64];
	int fd = openat(at, "maildirsize",
			O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK |
				O_CLOEXEC);
	int len;

	if (fd == -1)
		return; /* counted when it is needed */
	len = snprintf(line, sizeof(line), "%lld %lld\n", (long long)bytes,
		       (long long)messages);
	/* One write, or a reader sees a broken line. Broken means: count. */
	if (write(fd, line, (size_t)len) != len)
		unlinkat(at, "maildirsize", 0);
	close(fd);
}

/* ---- counting ---- */

bool maildirsize_of_name(struct view name, uint64_t *size, bool *trashed)
{
	size_t colon = view_find(name, ':');
	struct view info = view_from(name, colon);
	struct view rest = view_first(name, colon);

	*trashed = view_starts(info, VIEW(":2,")) &&
		   view_has(view_from(info, 3), 'T');
	view_cut(&rest, ',');
	while (rest.p) {
		struct view field = view_cut(&rest, ',');

		if (view_starts(field, VIEW("S=")))
			return view_u64(view_from(field, 2), size);
	}
	return false;
}

struct count {
	struct maildirsize usage;
	time_t newest; /* change of any directory */
};

static DIR *open_list(int at, const char *path)
{
	int fd = openat(at, path,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd == -1 ? NULL : fdopendir(fd);

	if (!dir && fd != -1)
		close(fd);
	return dir;
}

static void count_file(int at, const char *name, struct count *count)
{
	uint64_t size;
	bool trashed;
	struct stat st;

	if (name[0] == '.')
		return;
	if (!maildirsize_of_name(view_of(name), &size, &trashed)) {
		/* Gone meanwhile is not there. */
		if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == -1)
			return;
		size = (uint64_t)st.st_size;
	}
	if (trashed)
		return;
	if (__builtin_add_overflow(count->usage.bytes, size,
				   &count->usage.bytes))
		count->usage.bytes = INT64_MAX;
	count->usage.messages++;
}

/* new or cur of one folder; one that is not there holds nothing. */
static int count_dir(int at, const char *path, struct count *count)
{
	DIR *dir = open_list(at, path);
	struct dirent *entry;
	struct stat st;
	int error;

	if (!dir)
		return errno == ENOENT ? 0 : -1;
	if (fstat(dirfd(dir), &st) == 0 && st.st_mtim.tv_sec > count->newest)
		count->newest = st.st_mtim.tv_sec;
	errno = 0;
	while ((entry = readdir(dir))) {
		count_file(dirfd(dir), entry->d_name, count);
		errno = 0;
	}
	error = errno;
	closedir(dir);
	errno = error;
	return error ? -1 : 0;
}

static int count_folder(int at, const char *name, struct count *count)
{
	static const char *const parts[] = { "new", "cur" };
	struct str path = { 0 };
	int result = 0;

	for (size_t i = 0; i < COUNT_OF(parts) && result == 0; i++) {
		str_reset(&path);
		str_appendf(&path, "%s/%s", name, parts[i]);
		result = count_dir(at, str_c(&path), count);
	}
	str_free(&path);
	return result;
}

static bool is_counted(const char *name)
{
	return name[0] == '.' && name[1] != '\0' && name[1] != '.' &&
	       strcmp(name, ".Trash") != 0;
}

static int count_all(int at, struct count *count)
{
	DIR *dir = open_list(at, ".");
	struct dirent *entry;
	int result;
	int error;

	*count = (struct count){ 0 };
	if (!dir)
		return -1;
	result = count_folder(at, ".", count);
	while (result == 0 && (entry = readdir(dir)))
		if (is_counted(entry->d_name) &&
		    count_folder(at, entry->d_name, count) == -1 &&
		    errno != ENOTDIR && errno != ELOOP)
			result = -1;
	error = errno;
	closedir(dir);
	errno = error;
	return result;
}

static int write_file(int at, const char *temp, const struct vquota *quota,
		      const struct maildirsize *usage)
{
	struct str text = { 0 };
	int fd = openat(at, temp,
			O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			0600);
	int result;

	if (fd == -1)
		return -1;
	vquota_format(&text, quota);
	str_appendf(&text, "\n%llu %llu\n", (unsigned long long)usage->bytes,
		    (unsigned long long)usage->messages);
	result = write_all(fd, str_view(&text));
	if (close(fd) == -1)
		result = -1;
	if (result == 0)
		result = renameat(at, temp, at, "maildirsize");
	if (result == -1)
		unlinkat(at, temp, 0);
	str_free(&text);
	return result;
}

/*
 * Count and write the file. If something came or went meanwhile the file
 * might miss it: then it is removed, and the next one counts.
 */
static int count_anew(int at, const struct vquota *quota,
		      struct maildirsize *usage)
{
	struct str temp = { 0 };
	struct count before;
	struct count after;

	if (count_all(at, &before) == -1)
		return -1;
	*usage = before.usage;
	str_appendf(&temp, "tmp/%lld.%ld_NeWmAiLdIrSiZe.vpopmail",
		    (long long)clock_wall_us(), (long)getpid());
	/* The file only saves time: a full disk may not stop a look. */
	if (write_file(at, str_c(&temp), quota, usage) == 0 &&
	    (count_all(at, &after) == -1 || after.newest > before.newest ||
	     after.usage.messages != before.usage.messages))
		unlinkat(at, "maildirsize", 0);
	str_free(&temp);
	return 0;
}

static bool fits(const struct vquota *quota, const struct maildirsize *usage,
		 uint64_t size)
{
	uint64_t bytes;

	if (__builtin_add_overflow(usage->bytes, size, &bytes))
		return false;
	return (!quota->bytes || bytes <= quota->bytes) &&
	       (!quota->messages || usage->messages + 1 <= quota->messages);
}

enum maildirsize_result maildirsize_room(int at, const struct vquota *quota,
					 uint64_t size)
{
	struct maildirsize usage;
	bool fresh;

	if (!quota->bytes && !quota->messages)
		return MAILDIRSIZE_FITS;
	if (read_file(at, quota, &usage, &fresh)) {
		if (fits(quota, &usage, size))
			return MAILDIRSIZE_FITS;
		if (fresh)
			return MAILDIRSIZE_FULL;
	}
	if (count_anew(at, quota, &usage) == -1)
		return MAILDIRSIZE_ERROR;
	return fits(quota, &usage, size) ? MAILDIRSIZE_FITS : MAILDIRSIZE_FULL;
}

int maildirsize_usage(int at, const struct vquota *quota,
		      struct maildirsize *usage)
{
	bool fresh;

	if (read_file(at, quota, usage, &fresh))
		return 0;
	return count_anew(at, quota, usage);
}
