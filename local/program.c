#include "local/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/sig.h"
#include "lib/spawn.h"

static const char shell[] = "/bin/sh";

enum program_result program_code(struct verdict *v, int code)
{
	switch (code) {
	case 0:
		return PROGRAM_DONE;
	case 99:
		return PROGRAM_DONE_STOP;
	case -1:
		verdict_defer(v, "Aack, child crashed. (#4.3.0)");
		return PROGRAM_ENDED;
	case 64: /* sysexits.h, as sendmail's programs use them */
	case 65:
	case 70:
	case 76:
	case 77:
	case 78:
	case 100:
	case 112:
		v->outcome = JOB_FAILED;
		return PROGRAM_ENDED;
	default:
		v->outcome = JOB_DEFERRED;
		return PROGRAM_ENDED;
	}
}

/* Keep what fits; the rest is read, so that the program can go on. */
void program_say(struct verdict *v, struct view said)
{
	if (v->is_full)
		return;
	str_append(&v->text, said);
	v->is_full = v->text.len > PROGRAM_TEXT_MAX;
	if (!v->is_full)
		return;
	str_truncate(&v->text, PROGRAM_TEXT_MAX);
	str_append_c(&v->text, "\nError report too long, sorry.\n");
}

/* false when nothing more is there now, or ever. */
static bool read_some(struct verdict *v, int *from)
{
	char space[4096];
	ssize_t got = read(*from, space, sizeof(space));

	if (got > 0) {
		program_say(v, view_make(space, (size_t)got));
		return true;
	}
	if (got == -1 && (errno == EAGAIN || errno == EINTR))
		return errno == EINTR;
	close(*from);
	*from = -1;
	return false;
}

/* Read *from until the child has ended. -1 with errno. */
static int collect(struct verdict *v, pid_t pid, int *from, int signals,
		   int *status)
{
	for (;;) {
		struct pollfd fds[] = { { .fd = signals, .events = POLLIN },
					{ .fd = *from, .events = POLLIN } };
		pid_t got = waitpid(pid, status, WNOHANG);

		if (got == -1 && errno != EINTR)
			return -1;
		if (got == pid)
			break;
		if (poll(fds, COUNT_OF(fds), -1) == -1 && errno != EINTR)
			return -1;
		while (sig_next(signals)) {
			/* Only SIGCHLD is caught. */
		}
		if (*from != -1 && fds[1].revents)
			read_some(v, from);
	}
	while (*from != -1 && !v->is_full && read_some(v, from)) {
		/* What it said last. */
	}
	return 0;
}

static int run_collecting(struct verdict *v, struct spawn *how, int signals,
			  int *status)
{
	int ends[2];
	pid_t pid;
	int result = -1;

	if (pipe2(ends, O_CLOEXEC) == -1)
		return -1;
	spawn_fd(how, ends[1], STDOUT_FILENO);
	spawn_fd(how, ends[1], STDERR_FILENO);
	pid = fcntl(ends[0], F_SETFL, O_NONBLOCK) == -1 ? -1 : spawn_start(how);
	close(ends[1]);
	if (pid != -1)
		result = collect(v, pid, &ends[0], signals, status);
	if (ends[0] != -1)
		close(ends[0]);
	return result;
}

static int run(struct verdict *v, struct spawn *how, int signals, int *status)
{
	pid_t pid;

	if (signals != -1)
		return run_collecting(v, how, signals, status);
	pid = spawn_start(how);
	return pid == -1 ? -1 : spawn_wait(pid, status);
}

enum program_result program_run(struct verdict *v, struct view command,
				const struct job *job, int signals)
{
	struct str text = { 0 };
	const char *argv[] = { shell, "-c", NULL, NULL };
	struct spawn how = { .argv = argv };
	int status;
	int result;
	int message;

	if (access(shell, X_OK) == -1) {
		verdict_defer(v, "Unable to run %s: %s. (#4.3.0)", shell,
			      strerror(errno));
		return PROGRAM_ENDED;
	}
	message = job_message_open(job);
	if (message == -1) {
		verdict_defer(v, "Unable to rewind message: %s. (#4.3.0)",
			      strerror(errno));
		return PROGRAM_ENDED;
	}
	str_set(&text, command);
	argv[2] = str_c(&text);
	spawn_fd(&how, message, STDIN_FILENO);
	result = run(v, &how, signals, &status);
	close(message);
	str_free(&text);
	if (result == -1) {
		verdict_defer(v, "Unable to fork: %s. (#4.3.0)",
			      strerror(errno));
		return PROGRAM_ENDED;
	}
	return program_code(v, spawn_exit_code(status));
}
