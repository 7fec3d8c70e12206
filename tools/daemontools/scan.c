#include "tools/daemontools/scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/die.h"
#include "lib/sig.h"
#include "tools/daemontools/service.h"

#define LOG_PATIENCE_MS 5000

void scan_init(struct scan *scan)
{
	scan->services = calloc(SCAN_MAX_SERVICES, sizeof(*scan->services));
	if (!scan->services)
		die(EXIT_RETRY, "fatal: out of memory");
	scan->count = 0;
}

void scan_free(struct scan *scan)
{
	free(scan->services);
	*scan = (struct scan){ 0 };
}

/* ---- starting ---- */

static noreturn void become_supervise(const struct scan_service *s, bool log)
{
	char *argv[] = { (char[]){ "supervise" }, NULL, NULL };
	char name[SCAN_NAME_BYTES];

	snprintf(name, sizeof(name), "%s", log ? "log" : s->name);
	argv[1] = name;
	if (log && chdir(s->name) == -1)
		die_errno(EXIT_RETRY, "warning: unable to chdir to %s",
			  s->name);
	if (s->has_log && dup2(s->pipe[log ? 0 : 1], log ? 0 : 1) == -1)
		die_errno(EXIT_RETRY,
			  "warning: unable to set up descriptors for %s",
			  s->name);
	sig_reset_all();
	execvp(argv[0], argv);
	die_errno(EXIT_RETRY, "warning: unable to start supervise %s%s",
		  s->name, log ? "/log" : "");
}

static void start(struct scan_service *s, bool log)
{
	pid_t pid = fork();

	if (pid == 0)
		become_supervise(s, log);
	if (pid == -1) {
		warn_errno("warning: unable to fork for %s%s", s->name,
			   log ? "/log" : "");
		return;
	}
	if (log)
		s->log_pid = pid;
	else
		s->pid = pid;
}

/* ---- looking ---- */

static struct scan_service *find(struct scan *scan, const struct stat *st)
{
	for (size_t i = 0; i < scan->count; i++)
		if (scan->services[i].ino == st->st_ino &&
		    scan->services[i].dev == st->st_dev)
			return &scan->services[i];
	return NULL;
}

/* Does name/log exist? Then the service gets a pipe. -1 with errno. */
static int set_up_log(struct scan_service *s)
{
	char path[SCAN_NAME_BYTES + 4];
	struct stat st;

	snprintf(path, sizeof(path), "%s/log", s->name);
	if (stat(path, &st) == -1)
		return errno == ENOENT ? 0 : -1;
	if (pipe2(s->pipe, O_CLOEXEC) == -1)
		return -1;
	s->has_log = true;
	return 0;
}

static struct scan_service *add(struct scan *scan, const char *name,
				const struct stat *st)
{
	struct scan_service *s;

	if (scan->count == SCAN_MAX_SERVICES) {
		if (!scan->warned_full)
			warn("warning: unable to start %s: running too many "
			     "services",
			     name);
		scan->warned_full = true;
		return NULL;
	}
	s = &scan->services[scan->count];
	*s = (struct scan_service){
		.dev = st->st_dev,
		.ino = st->st_ino,
		.pipe = { -1, -1 },
	};
	snprintf(s->name, sizeof(s->name), "%s", name);
	if (set_up_log(s) == -1) {
		warn_errno("warning: unable to set up the log of %s", name);
		return NULL;
	}
	scan->count++;
	return s;
}

static void look_at(struct scan *scan, const char *name)
{
	struct scan_service *s;
	struct stat st;

	if (name[0] == '.')
		return;
	if (stat(name, &st) == -1) {
		/* A dangling link, or one that was just removed. */
		if (errno != ENOENT)
			warn_errno("warning: unable to stat %s", name);
		return;
	}
	if (!S_ISDIR(st.st_mode))
		return;
	s = find(scan, &st);
	if (!s)
		s = add(scan, name, &st);
	if (!s || s->seen)
		return;
	s->seen = true;
	snprintf(s->name, sizeof(s->name), "%s", name);
	if (!s->pid)
		start(s, false);
	if (s->has_log && !s->log_pid)
		start(s, true);
}

static void close_pipe(struct scan_service *s)
{
	for (int i = 0; i < 2; i++) {
		if (s->pipe[i] != -1)
			close(s->pipe[i]);
		s->pipe[i] = -1;
	}
}

/* Forget services whose directory and supervises are gone. */
static void forget(struct scan *scan)
{
	size_t i = 0;

	while (i < scan->count) {
		struct scan_service *s = &scan->services[i];

		/* With no writer left, the log reads to its end. */
		if (!s->seen && !s->pid)
			close_pipe(s);
		if (s->seen || s->pid || s->log_pid) {
			i++;
			continue;
		}
		*s = scan->services[--scan->count];
		scan->warned_full = false;
	}
}

void scan_look(struct scan *scan)
{
	DIR *dir = opendir(".");

	if (!dir) {
		warn_errno("warning: unable to read directory");
		return;
	}
	for (size_t i = 0; i < scan->count; i++)
		scan->services[i].seen = false;
	for (;;) {
		struct dirent *entry;

		errno = 0;
		entry = readdir(dir);
		if (!entry)
			break;
		look_at(scan, entry->d_name);
	}
	if (errno)
		warn_errno("warning: unable to read directory");
	else
		forget(scan);
	closedir(dir);
}

void scan_reap(struct scan *scan)
{
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		for (size_t i = 0; i < scan->count; i++) {
			struct scan_service *s = &scan->services[i];

			if (s->pid == pid)
				s->pid = 0;
			if (s->log_pid == pid)
				s->log_pid = 0;
		}
}

/* ---- leaving ---- */

/* Is this still, or already, the directory that belongs to the service? */
static bool is_directory_of(const struct scan_service *s, int dirfd)
{
	struct stat st;

	return fstat(dirfd, &st) == 0 && st.st_ino == s->ino &&
	       st.st_dev == s->dev;
}

/*
 * The directory of a supervise. Its working directory is surest, since the
 * name may have been removed from ours; the name serves where there is no
 * /proc, or when the supervise is an earlier svscan's.
 */
static int open_service(const struct scan_service *s, bool log)
{
	pid_t pid = log ? s->log_pid : s->pid;
	char path[SCAN_NAME_BYTES + 4];
	int fd = -1;

	if (pid) {
		char proc[40];

		snprintf(proc, sizeof(proc), "/proc/%ld/cwd", (long)pid);
		fd = open(proc, O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	if (fd != -1 && (log || is_directory_of(s, fd)))
		return fd;
	if (fd != -1)
		close(fd);
	snprintf(path, sizeof(path), "%s%s", s->name, log ? "/log" : "");
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* True when no supervise runs there, neither ours nor another's. */
static bool has_left(const struct scan_service *s, bool log, int dirfd)
{
	if (log ? s->log_pid : s->pid)
		return false;
	return dirfd == -1 || service_running(dirfd) != SERVICE_OK;
}

/* Once it has taken the letters it need not be told again. */
static void tell(struct scan_service *s, int dirfd, struct view letters)
{
	if (!s->told && dirfd != -1)
		s->told = service_control(dirfd, letters) == SERVICE_OK;
}

static void leave_service(struct scan_service *s)
{
	int fd = open_service(s, false);

	tell(s, fd, VIEW("dx"));
	if (has_left(s, false, fd)) {
		/* Now the log sees the end of its input. */
		close_pipe(s);
		s->told = false;
		s->leaving = s->has_log ? SCAN_LOG_WAITING : SCAN_LEFT;
		s->log_until_ms = clock_mono_ms() + LOG_PATIENCE_MS;
	}
	if (fd != -1)
		close(fd);
}

/* First it may read what is left; if others hold its pipe, it must go. */
static void leave_log(struct scan_service *s)
{
	int fd = open_service(s, true);

	if (!s->log_down && clock_mono_ms() >= s->log_until_ms) {
		s->log_down = true;
		s->told = false;
	}
	tell(s, fd, s->log_down ? VIEW("dx") : VIEW("x"));
	if (has_left(s, true, fd))
		s->leaving = SCAN_LEFT;
	if (fd != -1)
		close(fd);
}

bool scan_leave(struct scan *scan)
{
	bool all = true;

	for (size_t i = 0; i < scan->count; i++) {
		struct scan_service *s = &scan->services[i];

		if (s->leaving == SCAN_STAYING)
			s->leaving = SCAN_WAITING;
		if (s->leaving == SCAN_WAITING)
			leave_service(s);
		if (s->leaving == SCAN_LOG_WAITING)
			leave_log(s);
		if (s->leaving != SCAN_LEFT)
			all = false;
	}
	return all;
}
