#include "popd/maildrop.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/maildir.h"
#include "lib/maildirsize.h"
#include "popd/wire.h"

#define UID_MAX_BYTES 70
#define READ_BYTES 65536

/* Valid until a name is added. */
static const char *name_of(const struct maildrop *drop, const struct message *m)
{
	return drop->names.p + m->name;
}

static struct view base_of(const struct maildrop *drop, const struct message *m)
{
	struct view name = view_of(name_of(drop, m));

	return view_first(name, view_find(name, ':'));
}

struct view maildrop_base(const struct maildrop *drop, size_t i)
{
	return base_of(drop, &drop->messages[i]);
}

static int folder_of(const struct maildrop *drop, const struct message *m)
{
	return m->in_new ? drop->new_fd : drop->cur_fd;
}

/* ---- listing ---- */

static int open_folder(int dirfd, const char *name)
{
	return openat(dirfd, name,
		      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static struct message *add_message(struct maildrop *drop)
{
	if (drop->count == drop->cap) {
		size_t cap = drop->cap ? drop->cap * 2 : 64;
		struct message *more;

		more = reallocarray(drop->messages, cap, sizeof(*more));
		if (!more)
			die(EXIT_RETRY, "out of memory");
		drop->messages = more;
		drop->cap = cap;
	}
	return &drop->messages[drop->count++];
}

static void consider_file(struct maildrop *drop, int folder_fd,
			  const char *name, bool in_new)
{
	struct message *m;
	struct stat st;

	if (fstatat(folder_fd, name, &st, AT_SYMLINK_NOFOLLOW) == -1 ||
	    !S_ISREG(st.st_mode))
		return;
	m = add_message(drop);
	*m = (struct message){
		.name = drop->names.len,
		.mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 +
			    st.st_mtim.tv_nsec,
		.file_bytes = (uint64_t)st.st_size,
		.in_new = in_new,
	};
	str_append(&drop->names, view_make(name, strlen(name) + 1));
}

/* A stream over a folder of its own offset; NULL with errno. */
static DIR *read_folder(int folder_fd)
{
	int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd == -1 ? NULL : fdopendir(fd);

	if (!dir && fd != -1)
		close(fd);
	return dir;
}

static int scan_folder(struct maildrop *drop, int folder_fd, bool in_new)
{
	DIR *dir = read_folder(folder_fd);
	struct dirent *entry;
	int error;

	if (!dir)
		return -1;
	while (errno = 0, (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			consider_file(drop, folder_fd, entry->d_name, in_new);
	error = errno;
	closedir(dir);
	errno = error;
	return error ? -1 : 0;
}

static int compare_views(struct view a, struct view b)
{
	size_t shorter = a.len < b.len ? a.len : b.len;
	int order = shorter ? memcmp(a.p, b.p, shorter) : 0;

	return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_bases(const void *a, const void *b, void *arg)
{
	return compare_views(base_of(arg, a), base_of(arg, b));
}

static int compare_ages(const void *a, const void *b, void *arg)
{
	const struct message *first = a;
	const struct message *second = b;

	if (first->mtime_ns != second->mtime_ns)
		return first->mtime_ns < second->mtime_ns ? -1 : 1;
	return compare_bases(a, b, arg);
}

static void sort(struct maildrop *drop,
		 int (*compare)(const void *, const void *, void *))
{
	if (drop->count)
		qsort_r(drop->messages, drop->count, sizeof(struct message),
			compare, drop);
}

/* A file that moved while we looked was seen at both places: cur/ is right. */
static void drop_repeated(struct maildrop *drop)
{
	size_t kept = 0;

	sort(drop, compare_bases);
	for (size_t i = 0; i < drop->count; i++) {
		struct message *m = &drop->messages[i];

		if (kept &&
		    view_eq(base_of(drop, m), maildrop_base(drop, kept - 1))) {
			if (drop->messages[kept - 1].in_new)
				drop->messages[kept - 1] = *m;
			continue;
		}
		drop->messages[kept++] = *m;
	}
	drop->count = kept;
}

static int list(struct maildrop *drop)
{
	/* new/ first: what moves to cur/ meanwhile is seen there. */
	if (scan_folder(drop, drop->new_fd, true) == -1 ||
	    scan_folder(drop, drop->cur_fd, false) == -1)
		return -1;
	drop_repeated(drop);
	sort(drop, compare_ages);
	return 0;
}

int maildrop_open(struct maildrop *drop, const char *path)
{
	int error;

	*drop = (struct maildrop){ .fd = -1, .new_fd = -1, .cur_fd = -1 };
	drop->fd = open_folder(AT_FDCWD, path);
	if (drop->fd != -1)
		drop->new_fd = open_folder(drop->fd, "new");
	if (drop->new_fd != -1)
		drop->cur_fd = open_folder(drop->fd, "cur");
	if (drop->cur_fd != -1) {
		maildir_clean(drop->fd);
		if (list(drop) == 0)
			return 0;
	}
	error = errno;
	maildrop_close(drop);
	errno = error;
	return -1;
}

static void close_fd(int *fd)
{
	if (*fd != -1)
		close(*fd);
	*fd = -1;
}

void maildrop_close(struct maildrop *drop)
{
	close_fd(&drop->cur_fd);
	close_fd(&drop->new_fd);
	close_fd(&drop->fd);
	str_free(&drop->names);
	free(drop->messages);
	drop->messages = NULL;
	drop->count = drop->cap = 0;
}

/* ---- finding again what others have renamed ---- */

static int compare_indexed(const void *a, const void *b, void *arg)
{
	const size_t *first = a;
	const size_t *second = b;

	return compare_views(maildrop_base(arg, *first),
			     maildrop_base(arg, *second));
}

/* The numbers of all messages, sorted by base name. */
static size_t *index_by_base(struct maildrop *drop)
{
	size_t *at = reallocarray(NULL, drop->count + 1, sizeof(*at));

	if (!at)
		die(EXIT_RETRY, "out of memory");
	for (size_t i = 0; i < drop->count; i++)
		at[i] = i;
	qsort_r(at, drop->count, sizeof(*at), compare_indexed, drop);
	return at;
}

static struct message *find_base(struct maildrop *drop, const size_t *at,
				 struct view base)
{
	size_t low = 0;
	size_t high = drop->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order =
			compare_views(maildrop_base(drop, at[middle]), base);

		if (order == 0)
			return &drop->messages[at[middle]];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static void note_name(struct maildrop *drop, const size_t *at, const char *name,
		      bool in_new)
{
	struct view base = view_of(name);
	struct message *m;

	base = view_first(base, view_find(base, ':'));
	m = find_base(drop, at, base);
	if (!m || (m->in_new == in_new && strcmp(name_of(drop, m), name) == 0))
		return;
	m->in_new = in_new;
	m->name = drop->names.len;
	str_append(&drop->names, view_make(name, strlen(name) + 1));
}

static void find_folder(struct maildrop *drop, const size_t *at, int folder_fd,
			bool in_new)
{
	DIR *dir = read_folder(folder_fd);
	struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			note_name(drop, at, entry->d_name, in_new);
	closedir(dir);
}

/* Learn the names that files have now. */
static void find_all(struct maildrop *drop)
{
	size_t *at = index_by_base(drop);

	find_folder(drop, at, drop->new_fd, true);
	find_folder(drop, at, drop->cur_fd, false);
	free(at);
}

/* ---- one message ---- */

static int open_message(const struct maildrop *drop, const struct message *m)
{
	int fd = openat(folder_of(drop, m), name_of(drop, m),
			O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd == -1)
		return -1;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	close(fd);
	errno = ENOENT; /* something else took its name */
	return -1;
}

int maildrop_read(struct maildrop *drop, size_t i)
{
	struct message *m = &drop->messages[i];

	/* A listing may miss a file that is being renamed: look twice. */
	for (int tries = 0; tries < 3 && !m->gone; tries++) {
		int fd;

		if (tries)
			find_all(drop);
		fd = open_message(drop, m);
		if (fd != -1 || errno != ENOENT)
			return fd;
	}
	m->gone = true;
	errno = ENOENT;
	return -1;
}

/* The number behind `,S=` or `,W=`; it must end where the field does. */
static bool name_number(struct view base, char key, uint64_t *number)
{
	view_cut(&base, ',');
	while (base.p) {
		struct view field = view_cut(&base, ',');

		if (field.len > 2 && field.p[0] == key && field.p[1] == '=')
			return view_u64(view_from(field, 2), number);
	}
	return false;
}

bool maildrop_name_octets(struct view base, uint64_t *octets)
{
	return name_number(base, 'W', octets);
}

/* The name may lie: it must agree with what the file shows at once. */
static bool octets_from_name(const struct maildrop *drop,
			     const struct message *m, int fd, uint64_t *octets)
{
	struct view base = base_of(drop, m);
	uint64_t stored;
	char last;

	if (!name_number(base, 'W', octets) || *octets < m->file_bytes ||
	    *octets - m->file_bytes > m->file_bytes)
		return false;
	if (name_number(base, 'S', &stored) && stored != m->file_bytes)
		return false;
	/* Others do not count the line end that we have to add. */
	return m->file_bytes > 0 &&
	       pread(fd, &last, 1, (off_t)m->file_bytes - 1) == 1 &&
	       last == '\n';
}

static int count_octets(int fd, uint64_t *octets)
{
	char chunk[READ_BYTES];
	struct wire wire;
	ssize_t got;

	wire_init(&wire, WIRE_ALL);
	do {
		got = read(fd, chunk, sizeof(chunk));
		if (got == -1 && errno != EINTR)
			return -1;
		if (got > 0)
			wire_feed(&wire, view_make(chunk, (size_t)got), NULL);
	} while (got);
	wire_end(&wire, NULL);
	*octets = wire.octets;
	return 0;
}

int maildrop_size(struct maildrop *drop, size_t i, uint64_t *octets)
{
	struct message *m = &drop->messages[i];
	int result = 0;
	int error;
	int fd;

	if (m->sized) {
		*octets = m->octets;
		return 0;
	}
	fd = maildrop_read(drop, i);
	if (fd == -1)
		return -1;
	if (!octets_from_name(drop, m, fd, octets))
		result = count_octets(fd, octets);
	error = errno;
	close(fd);
	errno = error;
	if (result == 0) {
		m->octets = *octets;
		m->sized = true;
	}
	return result;
}

static bool is_uid(struct view base)
{
	if (base.len == 0 || base.len > UID_MAX_BYTES)
		return false;
	for (size_t i = 0; i < base.len; i++)
		if (base.p[i] <= ' ' || base.p[i] > '~')
			return false;
	return true;
}

/* FNV-1a. */
static uint64_t hash(struct view v, uint64_t start)
{
	uint64_t h = start;

	for (size_t i = 0; i < v.len; i++)
		h = (h ^ (unsigned char)v.p[i]) * 0x100000001b3;
	return h;
}

void maildrop_uid(const struct maildrop *drop, size_t i, struct str *uid)
{
	struct view base = maildrop_base(drop, i);

	if (is_uid(base)) {
		str_append(uid, base);
		return;
	}
	str_append_hex64(uid, hash(base, 0xcbf29ce484222325));
	str_append_hex64(uid, hash(base, 0x9ae16a3b2f90404f));
}

/* ---- the end of a session ---- */

/* What leaves the quota: Maildir++ counts no message marked T. */
struct removed {
	int64_t bytes;
	int64_t count;
};

static void count_removed(const struct maildrop *drop, const struct message *m,
			  struct removed *removed)
{
	uint64_t bytes;
	bool trashed;

	if (!maildirsize_of_name(view_of(name_of(drop, m)), &bytes, &trashed))
		bytes = m->file_bytes;
	if (trashed)
		return;
	removed->bytes += (int64_t)bytes;
	removed->count++;
}

/* True when it is not there any more. */
static bool remove_message(struct maildrop *drop, struct message *m,
			   struct removed *removed)
{
	if (unlinkat(folder_of(drop, m), name_of(drop, m), 0) == -1)
		return false;
	count_removed(drop, m, removed);
	m->gone = true;
	return true;
}

/* One pass over the marked ones: how many are left, how many of them ENOENT. */
static size_t remove_marked(struct maildrop *drop, struct removed *removed,
			    size_t *missing)
{
	size_t failed = 0;
	int error = 0;

	*missing = 0;
	for (size_t i = 0; i < drop->count; i++) {
		struct message *m = &drop->messages[i];

		if (!m->deleted || m->gone || remove_message(drop, m, removed))
			continue;
		if (errno == ENOENT) {
			++*missing;
			continue;
		}
		error = errno;
		failed++;
	}
	errno = error;
	return failed;
}

/* Where the name carries flags already they stay. */
static void move_to_cur(struct maildrop *drop, struct message *m)
{
	struct str name = { 0 };

	str_set_c(&name, name_of(drop, m));
	if (!view_has(str_view(&name), ':'))
		str_append_c(&name, m->seen ? ":2,S" : ":2,");
	if (renameat2(drop->new_fd, name_of(drop, m), drop->cur_fd,
		      str_c(&name), RENAME_NOREPLACE) == -1 &&
	    (errno == EINVAL || errno == ENOSYS) &&
	    renameat(drop->new_fd, name_of(drop, m), drop->cur_fd,
		     str_c(&name)) == -1) {
		/* It stays new, or somebody else has moved it. */
	}
	str_free(&name);
}

size_t maildrop_commit(struct maildrop *drop)
{
	struct removed removed = { 0 };
	size_t missing;
	size_t failed = remove_marked(drop, &removed, &missing);
	int error = errno;

	/* Renamed meanwhile: what cannot be found then is gone indeed. */
	for (int tries = 0; missing && tries < 2; tries++) {
		find_all(drop);
		failed = remove_marked(drop, &removed, &missing);
		error = errno;
	}
	for (size_t i = 0; i < drop->count; i++)
		if (drop->messages[i].in_new && !drop->messages[i].deleted)
			move_to_cur(drop, &drop->messages[i]);
	if (removed.count)
		maildirsize_add(drop->fd, -removed.bytes, -removed.count);
	errno = error;
	return failed;
}
