/*
 * supervise - keep one service running.
 *
 * started by  svscan, or by hand
 * runs as     whoever starts it, commonly root
 * fds         0, 1, 2 and what else was inherited go to ./run unchanged
 * exits       0 after svc -x, 100 for misuse, 111 if it cannot begin
 *
 * Once it has begun nothing but svc -x and signals end it: what it cannot do
 * (fork, write its status) it reports, and tries again a second later. It
 * allocates nothing after its start.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/die.h"
#include "lib/lock.h"
#include "lib/polls.h"
#include "lib/sig.h"
#include "tools/daemontools/death.h"
#include "tools/daemontools/keep.h"
#include "tools/daemontools/machine.h"
#include "tools/daemontools/service.h"

#define PAUSE_MS 1000 /* between two starts */

struct supervise {
	const char *dir; /* for messages */
	enum machine_state state;
	struct service_status status;
	int64_t may_start_ms; /* not before this, monotonic */
	bool stale;    /* the status on disk is not this one: write again */
	bool has_died; /* of `death`, from wait(2), which is not on disk */
	int death;
	int signal_fd;
	int control_fd;
	struct keep keep;
};

/* ---- the directory supervise/ ---- */

/* supervise may be a link to a place that is yet to be made (/run/...). */
static int make_directory(void)
{
	char target[4096];
	ssize_t len;

	if (mkdir("supervise", 0700) == 0)
		return 0;
	if (errno != EEXIST)
		return -1;
	len = readlink("supervise", target, sizeof(target) - 1);
	if (len > 0) {
		target[len] = '\0';
		if (mkdir(target, 0700) == -1 && errno != EEXIST)
			return -1;
	}
	return 0;
}

/* A FIFO opened for reading; -1 with errno. */
static int open_fifo(const char *path)
{
	if (mkfifo(path, 0600) == -1 && errno != EEXIST)
		return -1;
	return open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

static void take_lock(const char *dir)
{
	int fd = open("supervise/lock",
		      O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_CLOEXEC,
		      0600);

	if (fd == -1)
		die_errno(EXIT_RETRY, "fatal: unable to open %s/supervise/lock",
			  dir);
	if (lock_try(fd) == -1)
		die_errno(EXIT_RETRY,
			  "fatal: unable to acquire %s/supervise/lock", dir);
}

static int replace_status(const struct supervise *s)
{
	char bytes[SERVICE_STATUS_BYTES];

	service_pack(bytes, &s->status);
	return service_replace("supervise/status", "supervise/status.new",
			       view_make(bytes, sizeof(bytes)));
}

/* The death first: who sees that the service is down shall find it. */
static int replace_files(struct supervise *s)
{
	bool kept = s->has_died && death_write(s->death) == -1;
	int error = errno;

	s->has_died = kept;
	if (replace_status(s) == -1)
		return -1;
	errno = error;
	return kept ? -1 : 0;
}

/* Complains once, then tries silently until it works. */
static void write_status(struct supervise *s)
{
	bool ok = replace_files(s) == 0;

	if (!ok && !s->stale)
		warn_errno("warning: unable to write %s/supervise/status",
			   s->dir);
	s->stale = !ok;
}

/* ---- ./run ---- */

static void send_signal(struct supervise *s, int sig)
{
	if (s->status.pid)
		kill((pid_t)s->status.pid, sig);
}

static void change(struct supervise *s, enum machine_event event)
{
	struct machine_step step = machine_step(s->state, event);

	s->state = step.next;
	if (step.stop) {
		send_signal(s, SIGTERM);
		send_signal(s, SIGCONT);
		s->status.paused = false;
	}
}

static noreturn void become_run(const struct supervise *s)
{
	char *argv[] = { (char[]){ "./run" }, NULL };

	sig_reset_all();
	execve(argv[0], argv, environ);
	die_errno(EXIT_RETRY, "fatal: unable to start %s/run", s->dir);
}

static void start(struct supervise *s)
{
	pid_t pid = fork();

	if (pid == 0)
		become_run(s);
	s->may_start_ms = clock_mono_ms() + PAUSE_MS;
	if (pid == -1) {
		warn_errno("warning: unable to fork for %s, pausing", s->dir);
		return;
	}
	s->status.since = tai_now();
	s->status.pid = (uint32_t)pid;
	s->status.paused = false;
	change(s, MACHINE_STARTED);
	write_status(s);
}

static void reap(struct supervise *s)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if ((uint32_t)pid != s->status.pid)
			continue;
		s->status.since = tai_now();
		s->status.pid = 0;
		s->status.paused = false;
		s->has_died = true;
		s->death = status;
		keep_died(&s->keep, WIFSIGNALED(status));
		change(s, MACHINE_DIED);
		write_status(s);
	}
}

/* ---- commands ---- */

static void want(struct supervise *s, enum service_want want,
		 enum machine_event event)
{
	s->status.want = (char)want;
	change(s, event);
}

static void obey(struct supervise *s, char letter)
{
	switch (letter) {
	case 'u':
		want(s, SERVICE_WANT_UP, MACHINE_WANT_UP);
		break;
	case 'd':
		want(s, SERVICE_WANT_DOWN, MACHINE_WANT_DOWN);
		break;
	case 'o':
		want(s, SERVICE_WANT_NOTHING, MACHINE_WANT_ONCE);
		break;
	case 'x':
		change(s, MACHINE_WANT_EXIT);
		break;
	case 'p':
		s->status.paused = s->status.pid != 0;
		send_signal(s, SIGSTOP);
		break;
	case 'c':
		s->status.paused = false;
		send_signal(s, SIGCONT);
		break;
	case 'h':
		send_signal(s, SIGHUP);
		break;
	case 'a':
		send_signal(s, SIGALRM);
		break;
	case 'i':
		send_signal(s, SIGINT);
		break;
	case 't':
		send_signal(s, SIGTERM);
		break;
	case 'k':
		send_signal(s, SIGKILL);
		break;
	default: /* other letters are ignored, as ever */
		break;
	}
}

static void read_commands(struct supervise *s)
{
	char letters[64];
	ssize_t got = read(s->control_fd, letters, sizeof(letters));

	/* What died before this command came is dead for it. */
	reap(s);
	for (ssize_t i = 0; i < got; i++)
		obey(s, letters[i]);
	if (got > 0)
		write_status(s);
}

/* ---- the loop ---- */

/* Nothing runs, and nothing will: nobody will ask for the socket. */
static bool is_over(const struct supervise *s)
{
	return s->state == MACHINE_DOWN || s->state == MACHINE_GONE;
}

static bool is_due(const struct supervise *s)
{
	return s->state == MACHINE_DUE || s->state == MACHINE_DUE_ONCE;
}

static int64_t deadline(const struct supervise *s)
{
	int64_t at = POLLS_NEVER;

	if (is_due(s))
		polls_until(&at, s->may_start_ms);
	if (s->stale)
		polls_until(&at, clock_mono_ms() + PAUSE_MS);
	return at;
}

static void wait_for_something(struct supervise *s, struct polls *polls)
{
	int64_t until = deadline(s);
	size_t control;
	size_t signals;

	polls_reset(polls);
	control = polls_add(polls, s->control_fd, POLLIN);
	signals = polls_add(polls, s->signal_fd, POLLIN);
	keep_prepare(&s->keep, polls, &until);
	if (polls_wait(polls, until) == -1) {
		warn_errno("warning: unable to wait, pausing");
		sleep(1);
		return;
	}
	if (polls_ready(polls, signals))
		while (sig_next(s->signal_fd))
			;
	reap(s);
	keep_act(&s->keep, polls, (pid_t)s->status.pid);
	if (polls_ready(polls, control))
		read_commands(s);
	if (is_over(s))
		keep_drop(&s->keep);
}

static void prepare(struct supervise *s)
{
	static const int signals[] = { SIGCHLD };

	sig_ignore_write_signals();
	s->signal_fd = sig_open(signals, COUNT_OF(signals));
	if (s->signal_fd == -1)
		die_errno(EXIT_RETRY, "fatal: unable to wait for signals");
	if (chdir(s->dir) == -1)
		die_errno(EXIT_RETRY, "fatal: unable to chdir to %s", s->dir);
	if (make_directory() == -1)
		die_errno(EXIT_RETRY, "fatal: unable to create %s/supervise",
			  s->dir);
	take_lock(s->dir);
	s->control_fd = open_fifo("supervise/control");
	/* A writer of our own: the FIFO never reaches its end. */
	if (s->control_fd == -1 ||
	    open("supervise/control", O_WRONLY | O_NONBLOCK | O_CLOEXEC) == -1)
		die_errno(EXIT_RETRY,
			  "fatal: unable to open %s/supervise/control", s->dir);
}

/* From here on svok says that we run. */
static void announce(struct supervise *s)
{
	struct stat st;

	if (death_forget() == -1)
		warn_errno("warning: unable to remove %s/supervise/death",
			   s->dir);
	s->status.since = tai_now();
	if (stat("down", &st) == -1 && errno == ENOENT)
		want(s, SERVICE_WANT_UP, MACHINE_WANT_UP);
	else
		want(s, SERVICE_WANT_DOWN, MACHINE_WANT_DOWN);
	write_status(s);
	if (open_fifo("supervise/ok") == -1)
		die_errno(EXIT_RETRY, "fatal: unable to open %s/supervise/ok",
			  s->dir);
}

int main(int argc, char **argv)
{
	struct supervise s = { .state = MACHINE_DOWN };
	struct polls polls = { 0 };

	die_name("supervise");
	if (argc != 2)
		die(EXIT_REJECT, "usage: supervise dir");
	s.dir = argv[1];
	prepare(&s);
	keep_open(&s.keep, s.dir);
	announce(&s);
	while (s.state != MACHINE_GONE) {
		if (is_due(&s) && clock_mono_ms() >= s.may_start_ms)
			start(&s);
		if (s.stale)
			write_status(&s);
		wait_for_something(&s, &polls);
	}
	polls_free(&polls);
	return EXIT_DONE;
}
