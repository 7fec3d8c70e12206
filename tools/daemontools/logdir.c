#include "tools/daemontools/logdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/durable.h"
#include "lib/lock.h"
#include "lib/sig.h"
#include "lib/tai.h"

#define COMPLETE 0744
#define INCOMPLETE 0644
#define NEWLINE_BYTES 2000 /* so near the end a newline ends the file */
#define PAUSE_S 3
#define OLD_NAME_BYTES (TAI_LABEL_BYTES + 2) /* @, 24 digits, .s or .u */

/* ---- waiting for better times ---- */

static void pause_because(const struct logdir *log, const char *what)
{
	warn_errno("warning: unable to %s in %s, pausing", what, log->path);
	sleep(PAUSE_S);
}

static int open_waiting(const struct logdir *log, const char *name, int flags,
			mode_t mode)
{
	for (;;) {
		int fd = openat(log->dir_fd, name,
				flags | O_NONBLOCK | O_CLOEXEC, mode);

		if (fd != -1)
			return fd;
		warn("warning: unable to open %s/%s", log->path, name);
		pause_because(log, "open a file");
	}
}

static void chmod_waiting(const struct logdir *log, int fd, mode_t mode)
{
	while (fchmod(fd, mode) == -1)
		pause_because(log, "set the mode of a file");
}

static void unlink_waiting(const struct logdir *log, const char *name)
{
	while (unlinkat(log->dir_fd, name, 0) == -1 && errno != ENOENT)
		pause_because(log, "remove a file");
}

static void rename_waiting(const struct logdir *log, const char *from,
			   const char *to)
{
	while (renameat(log->dir_fd, from, log->dir_fd, to) == -1)
		pause_because(log, "rename a file");
}

/*
 * Sync, once: after a failure the kernel holds the pages for clean, and a
 * second success would mean nothing.
 */
static bool sync_once(const struct logdir *log, int fd, const char *name)
{
	if (durable_sync(fd) == 0)
		return true;
	warn_errno("warning: unable to write %s/%s to disk", log->path, name);
	return false;
}

/* ---- old files ---- */

/* Without overwriting: a label is taken once. -1 with errno. */
static int rename_new(int dirfd, const char *from, const char *to)
{
	if (renameat2(dirfd, from, dirfd, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	if (linkat(dirfd, from, dirfd, to, 0) == -1)
		return -1;
	return unlinkat(dirfd, from, 0);
}

static DIR *open_directory(const struct logdir *log)
{
	for (;;) {
		int fd = open_waiting(log, ".", O_RDONLY | O_DIRECTORY, 0);
		DIR *dir = fdopendir(fd);

		if (dir)
			return dir;
		close(fd);
		pause_because(log, "read the directory");
	}
}

static void tick(struct tai *tai)
{
	if (++tai->nanos == 1000000000) {
		tai->nanos = 0;
		tai->seconds++;
	}
}

static bool is_later(struct tai a, struct tai b)
{
	return a.seconds != b.seconds ? a.seconds > b.seconds
				      : a.nanos > b.nanos;
}

/*
 * Now, or just behind the last label when the clock was set back: the file
 * with the smallest label is removed first, and must be the oldest.
 */
static struct tai next_label(const struct logdir *log)
{
	DIR *dir = open_directory(log);
	struct tai next = tai_now();
	struct dirent *entry;
	struct tai old;

	while ((entry = readdir(dir)))
		if (tai_parse(view_of(entry->d_name), &old) &&
		    !is_later(next, old)) {
			next = old;
			tick(&next);
		}
	closedir(dir);
	return next;
}

/* Give `name` a label as an old file with this code. */
static void label(struct logdir *log, const char *name, char code)
{
	struct str *old = &log->old_name;
	struct tai now = next_label(log);

	for (;;) {
		str_reset(old);
		tai_format(old, now);
		str_append_byte(old, '.');
		str_append_byte(old, code);
		if (rename_new(log->dir_fd, name, str_c(old)) == 0)
			return;
		if (errno == EEXIST)
			tick(&now);
		else
			pause_because(log, "rename a file");
	}
}

static bool is_old(const char *name)
{
	return name[0] == '@' && strlen(name) >= TAI_LABEL_BYTES;
}

/* Count the old files and find the one with the smallest label. */
static size_t count_old(const struct logdir *log, char smallest[NAME_MAX + 1])
{
	struct dirent *entry;
	size_t count = 0;
	DIR *dir = open_directory(log);

	while ((entry = readdir(dir))) {
		if (!is_old(entry->d_name))
			continue;
		if (count == 0 || strcmp(entry->d_name, smallest) < 0)
			snprintf(smallest, NAME_MAX + 1, "%s", entry->d_name);
		count++;
	}
	closedir(dir);
	return count;
}

static void remove_surplus(const struct logdir *log)
{
	char smallest[NAME_MAX + 1];

	while (count_old(log, smallest) >= log->max_files)
		unlink_waiting(log, smallest);
}

/* ---- the processor ---- */

static int open_as(const struct logdir *log, const char *name, int flags,
		   int to)
{
	int fd = openat(log->dir_fd, name, flags, INCOMPLETE);

	if (fd == -1)
		return -1;
	if (fd == to)
		return 0;
	if (dup2(fd, to) == -1)
		return -1;
	return close(fd);
}

static noreturn void become_processor(const struct logdir *log)
{
	const char *argv[] = { "sh", "-c", log->processor, NULL };
	const int out = O_WRONLY | O_CREAT | O_TRUNC;

	/* dir_fd may be 4 or 5: work from a copy that is in nobody's way. */
	struct logdir parked = *log;

	parked.dir_fd = fcntl(log->dir_fd, F_DUPFD_CLOEXEC, 10);
	if (parked.dir_fd == -1 || fchdir(parked.dir_fd) == -1)
		die_errno(EXIT_RETRY, "fatal: unable to switch to %s",
			  log->path);
	if (open_as(&parked, "previous", O_RDONLY, 0) == -1 ||
	    open_as(&parked, "processed", out, 1) == -1 ||
	    open_as(&parked, "state", O_RDONLY | O_CREAT, 4) == -1 ||
	    open_as(&parked, "newstate", out, 5) == -1)
		die_errno(EXIT_RETRY, "fatal: unable to set up files in %s",
			  log->path);
	sig_reset_all();
	execv("/bin/sh", (char *const *)(uintptr_t)argv);
	die_errno(EXIT_RETRY, "fatal: unable to run sh");
}

/* True when it has exited 0. */
static bool run_processor(const struct logdir *log)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		become_processor(log);
	if (pid == -1) {
		warn_errno("warning: unable to fork in %s, pausing", log->path);
		return false;
	}
	while (waitpid(pid, &status, 0) == -1)
		if (errno != EINTR) {
			warn_errno("warning: lost the processor in %s, pausing",
				   log->path);
			return false;
		}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	warn("warning: processor failed in %s, pausing", log->path);
	return false;
}

/* The state must be safe before `processed` says that it is complete. */
static bool keep_output(const struct logdir *log)
{
	int state = open_waiting(log, "newstate", O_WRONLY, 0);
	int processed = open_waiting(log, "processed", O_WRONLY, 0);
	bool safe = sync_once(log, state, "newstate") &&
		    sync_once(log, processed, "processed");

	if (safe)
		chmod_waiting(log, processed, COMPLETE);
	close(state);
	close(processed);
	return safe;
}

static void process(struct logdir *log)
{
	while (!run_processor(log) || !keep_output(log))
		sleep(PAUSE_S);
	unlink_waiting(log, "previous");
	rename_waiting(log, "newstate", "state");
	label(log, "processed", 's');
}

/* ---- current ---- */

static void open_current(struct logdir *log)
{
	log->current_fd = open_waiting(log, "current",
				       O_WRONLY | O_CREAT | O_APPEND, 0600);
	chmod_waiting(log, log->current_fd, INCOMPLETE);
	log->bytes = 0;
}

static void finish_current(struct logdir *log)
{
	bool safe;

	logdir_flush(log);
	safe = sync_once(log, log->current_fd, "current");
	if (safe && !log->processor)
		chmod_waiting(log, log->current_fd, COMPLETE);
	close(log->current_fd);
	if (!safe)
		label(log, "current", 'u');
	else if (log->processor)
		rename_waiting(log, "current", "previous");
	else
		label(log, "current", 's');
	open_current(log);
	if (safe && log->processor)
		process(log);
	remove_surplus(log);
}

void logdir_flush(struct logdir *log)
{
	struct view rest = view_make(log->buffer, log->waiting);

	while (rest.len) {
		ssize_t put = write(log->current_fd, rest.p, rest.len);

		if (put == -1 && errno == EINTR)
			continue;
		if (put > 0)
			rest = view_from(rest, (size_t)put);
		else
			pause_because(log, "write to current");
	}
	log->waiting = 0;
}

static void hold(struct logdir *log, struct view part)
{
	if (part.len > LOGDIR_BUFFER_BYTES - log->waiting)
		logdir_flush(log);
	memcpy(log->buffer + log->waiting, part.p, part.len);
	log->waiting += part.len;
	log->bytes += part.len;
}

void logdir_put(struct logdir *log, struct view part)
{
	while (part.len) {
		struct view now = view_first(part, LOGDIR_BUFFER_BYTES);

		if (log->bytes >= log->max_bytes)
			finish_current(log);
		now = view_first(now, log->max_bytes - log->bytes);
		hold(log, now);
		part = view_from(part, now.len);
		if (log->bytes + NEWLINE_BYTES >= log->max_bytes &&
		    now.p[now.len - 1] == '\n')
			finish_current(log);
	}
}

void logdir_rotate(struct logdir *log)
{
	if (log->bytes)
		finish_current(log);
}

/* ---- opening and closing ---- */

static bool is_complete(const struct logdir *log, const char *name,
			struct stat *st)
{
	if (fstatat(log->dir_fd, name, st, AT_SYMLINK_NOFOLLOW) == 0)
		return st->st_mode & 0100;
	if (errno != ENOENT)
		die_errno(EXIT_RETRY, "fatal: unable to stat %s/%s", log->path,
			  name);
	st->st_mode = 0;
	return false;
}

/* After an outage: keep all there is, begin anew. */
static void recover(struct logdir *log, const struct stat *current)
{
	struct stat st;

	unlink_waiting(log, "state");
	unlink_waiting(log, "newstate");
	if (is_complete(log, "processed", &st)) {
		/* Everything of `previous` is in it. */
		label(log, "processed", 's');
		unlink_waiting(log, "previous");
	}
	unlink_waiting(log, "processed");
	is_complete(log, "previous", &st);
	if (st.st_mode)
		label(log, "previous", 'u');
	if (current->st_mode)
		label(log, "current", 'u');
	close(open_waiting(log, "state", O_WRONLY | O_CREAT | O_TRUNC, 0644));
}

static void take_directory(struct logdir *log)
{
	int lock;

	if (mkdir(log->path, 0700) == -1 && errno != EEXIST)
		die_errno(EXIT_RETRY, "fatal: unable to create directory %s",
			  log->path);
	log->dir_fd = open(log->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (log->dir_fd == -1)
		die_errno(EXIT_RETRY, "fatal: unable to open directory %s",
			  log->path);
	lock = openat(log->dir_fd, "lock",
		      O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC,
		      0600);
	if (lock == -1 || lock_try(lock) == -1)
		die_errno(EXIT_RETRY, "fatal: unable to lock directory %s",
			  log->path);
}

void logdir_open(struct logdir *log, const char *path, uint32_t max_bytes,
		 uint32_t max_files, const char *processor)
{
	struct stat st;

	*log = (struct logdir){
		.path = path,
		.max_bytes = max_bytes,
		.max_files = max_files,
		.processor = processor,
		.buffer = malloc(LOGDIR_BUFFER_BYTES),
	};
	if (!log->buffer)
		die(EXIT_RETRY, "fatal: out of memory");
	str_reserve(&log->old_name, OLD_NAME_BYTES + 1);
	take_directory(log);
	if (!is_complete(log, "current", &st)) {
		recover(log, &st);
		st.st_size = 0;
	}
	open_current(log);
	log->bytes = (uint64_t)st.st_size;
}

void logdir_close(struct logdir *log)
{
	logdir_flush(log);
	/* What may not be on disk stays incomplete, for the next start. */
	if (sync_once(log, log->current_fd, "current"))
		chmod_waiting(log, log->current_fd, COMPLETE);
	close(log->current_fd);
	close(log->dir_fd);
	free(log->buffer);
	str_free(&log->old_name);
	*log = (struct logdir){ .current_fd = -1, .dir_fd = -1 };
}
