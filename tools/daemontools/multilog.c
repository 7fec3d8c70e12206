/*
 * multilog - read lines, write selected ones to rotated logs.
 *
 * started by  supervise, as the log of a service
 * runs as     qmaill, commonly, by setuidgid
 * fds         0 the lines, 2 alerts and complaints
 * exits       0 at the end of input or after SIGTERM, 111 if it cannot begin
 *
 * SIGTERM: what has been read is processed, and the line it ends in is read
 * to its end, byte by byte; the rest stays in fd 0. SIGALRM: change files
 * now. What was read has been written before more is read.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/out.h"
#include "lib/polls.h"
#include "lib/sandbox.h"
#include "lib/sig.h"
#include "lib/tai.h"
#include "tools/daemontools/logdir.h"
#include "tools/daemontools/script.h"

#define INPUT_BYTES 16384
#define ALERT_BYTES 200
#define PAUSE_S 3

/* What an action keeps open. */
struct target {
	bool selected; /* LOG: the line that is being read goes there */
	int fd;        /* STATUS */
	struct logdir log;
};

struct multilog {
	struct script script;
	struct target *targets; /* one for each action */
	struct polls polls;
	int signal_fd;
	bool leaving;
	struct str label; /* kept, so that nothing is allocated later */
	/* The line being read: its beginning, until that is judged. */
	bool in_line;
	bool judged;
	size_t head_bytes;
	char head[SCRIPT_LINE_BYTES];
};

/* ---- one line ---- */

static void alert(struct view line)
{
	char space[ALERT_BYTES + 16];
	struct out out;

	out_init(&out, STDERR_FILENO, space, sizeof(space), -1);
	out_put(&out, view_first(line, ALERT_BYTES));
	out_put_c(&out, line.len > ALERT_BYTES ? "...\n" : "\n");
	/* An alert that nobody reads is not worth a wait. */
	if (out_flush(&out) == -1)
		return;
}

static void show_status(const struct target *target, struct view line,
			const char *path)
{
	char text[SCRIPT_LINE_BYTES + 1];

	memset(text, '\n', sizeof(text));
	memcpy(text, line.p, line.len);
	while (pwrite(target->fd, text, sizeof(text), 0) !=
		       (ssize_t)sizeof(text) ||
	       ftruncate(target->fd, sizeof(text)) == -1) {
		warn_errno("warning: unable to write to %s, pausing", path);
		sleep(PAUSE_S);
	}
}

/* Walk the script with the beginning of a line, all that it may see. */
static void judge(struct multilog *m)
{
	struct view line = view_make(m->head, m->head_bytes);
	bool selected = true;

	for (size_t i = 0; i < m->script.count; i++) {
		const struct script_action *action = &m->script.actions[i];
		struct target *target = &m->targets[i];

		switch (action->kind) {
		case SCRIPT_SELECT:
			if (!selected)
				selected = script_match(view_of(action->text),
							line);
			break;
		case SCRIPT_DESELECT:
			if (selected)
				selected = !script_match(view_of(action->text),
							 line);
			break;
		case SCRIPT_ALERT:
			if (selected)
				alert(line);
			break;
		case SCRIPT_STATUS:
			if (selected)
				show_status(target, line, action->text);
			break;
		case SCRIPT_LOG:
			target->selected = selected;
			break;
		}
	}
	m->judged = true;
}

static void put(struct multilog *m, struct view part)
{
	for (size_t i = 0; i < m->script.count; i++)
		if (m->script.actions[i].kind == SCRIPT_LOG &&
		    m->targets[i].selected)
			logdir_put(&m->targets[i].log, part);
}

static void begin_line(struct multilog *m)
{
	m->in_line = true;
	m->judged = false;
	m->head_bytes = 0;
	if (!m->script.timestamp)
		return;
	str_reset(&m->label);
	tai_format(&m->label, tai_now());
	str_append_byte(&m->label, ' ');
	memcpy(m->head, m->label.p, m->label.len);
	m->head_bytes = m->label.len;
}

/* The beginning is complete: judge it, and let it go where it goes. */
static void settle(struct multilog *m)
{
	judge(m);
	put(m, view_make(m->head, m->head_bytes));
}

static void end_line(struct multilog *m)
{
	if (!m->judged)
		settle(m);
	put(m, VIEW("\n"));
	m->in_line = false;
}

/* Some bytes of one line, without its newline. */
static void add_to_line(struct multilog *m, struct view part)
{
	struct view first = { 0 };

	if (!m->judged) {
		first = view_first(part, sizeof(m->head) - m->head_bytes);
		if (first.len)
			memcpy(m->head + m->head_bytes, first.p, first.len);
		m->head_bytes += first.len;
		if (m->head_bytes == sizeof(m->head))
			settle(m);
	}
	put(m, view_from(part, first.len));
}

static void feed(struct multilog *m, struct view input)
{
	while (input.len) {
		size_t len = view_find(input, '\n');

		if (!m->in_line)
			begin_line(m);
		add_to_line(m, view_first(input, len));
		if (len < input.len)
			end_line(m);
		input = view_from(input, len + 1);
	}
}

/* ---- the loop ---- */

static void flush(struct multilog *m)
{
	for (size_t i = 0; i < m->script.count; i++)
		if (m->script.actions[i].kind == SCRIPT_LOG)
			logdir_flush(&m->targets[i].log);
}

static void rotate(struct multilog *m)
{
	for (size_t i = 0; i < m->script.count; i++)
		if (m->script.actions[i].kind == SCRIPT_LOG)
			logdir_rotate(&m->targets[i].log);
}

static void read_signals(struct multilog *m)
{
	int sig;

	while ((sig = sig_next(m->signal_fd))) {
		if (sig == SIGTERM)
			m->leaving = true;
		else
			rotate(m);
	}
}

/* Wait for input or a signal. True when there is input, or its end. */
static bool wait_for_input(struct multilog *m)
{
	size_t input;
	size_t signals;

	polls_reset(&m->polls);
	input = polls_add(&m->polls, STDIN_FILENO, POLLIN);
	signals = polls_add(&m->polls, m->signal_fd, POLLIN);
	if (polls_wait(&m->polls, POLLS_NEVER) == -1) {
		warn_errno("warning: unable to wait, pausing");
		sleep(PAUSE_S);
		return false;
	}
	if (polls_ready(&m->polls, signals)) {
		read_signals(m);
		return false;
	}
	return polls_ready(&m->polls, input);
}

/* Read and write until the input ends or a signal says so. */
static void run(struct multilog *m)
{
	char input[INPUT_BYTES];

	while (!m->leaving || m->in_line) {
		ssize_t got;

		if (!wait_for_input(m))
			continue;
		got = read(STDIN_FILENO, input, m->leaving ? 1 : sizeof(input));
		if (got == 0)
			break;
		if (got > 0) {
			feed(m, view_make(input, (size_t)got));
			flush(m);
		} else if (errno != EINTR && errno != EAGAIN) {
			warn_errno("warning: unable to read input, pausing");
			sleep(PAUSE_S);
		}
	}
	if (m->in_line)
		end_line(m);
}

/* ---- beginning and end ---- */

static void open_target(struct target *target,
			const struct script_action *action)
{
	switch (action->kind) {
	case SCRIPT_SELECT:
	case SCRIPT_DESELECT:
	case SCRIPT_ALERT:
		break;
	case SCRIPT_STATUS:
		target->fd =
			open(action->text,
			     O_WRONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0600);
		if (target->fd == -1)
			die_errno(EXIT_RETRY, "fatal: unable to create %s",
				  action->text);
		break;
	case SCRIPT_LOG:
		logdir_open(&target->log, action->text, action->max_bytes,
			    action->max_files, action->processor);
		break;
	}
}

static void open_targets(struct multilog *m)
{
	m->targets = calloc(m->script.count + 1, sizeof(*m->targets));
	if (!m->targets)
		die(EXIT_RETRY, "fatal: out of memory");
	for (size_t i = 0; i < m->script.count; i++)
		open_target(&m->targets[i], &m->script.actions[i]);
}

/*
 * Only in its directories, and never a program. One who runs it as root may
 * have given these to somebody else. Where there is a processor, that would
 * inherit all this, and may do what its user may.
 */
static int confine(const struct multilog *m)
{
	struct sandbox sandbox = {
		.name = "multilog",
		.calls = SANDBOX_IO | SANDBOX_FILES_READ | SANDBOX_FILES_WRITE,
		.root_keeps = 1 << CAP_DAC_OVERRIDE | 1 << CAP_FOWNER,
	};
	struct landlock_path *paths =
		calloc(m->script.count + 1, sizeof(*paths));
	bool runs_programs = false;
	int result;

	if (!paths)
		return -1;
	for (size_t i = 0; i < m->script.count; i++) {
		const struct script_action *action = &m->script.actions[i];

		if (action->kind != SCRIPT_LOG)
			continue;
		runs_programs = runs_programs || action->processor;
		paths[sandbox.path_count++] = (struct landlock_path){
			.dirfd = m->targets[i].log.dir_fd,
			.path = ".",
			.rights = LANDLOCK_READ | LANDLOCK_WRITE,
		};
	}
	sandbox.paths = paths;
	if (runs_programs)
		sandbox.root_keeps = ~UINT64_C(0);
	result = runs_programs ? sandbox_modest(&sandbox)
			       : sandbox_enter(&sandbox);
	free(paths);
	return result;
}

static void close_targets(struct multilog *m)
{
	for (size_t i = 0; i < m->script.count; i++)
		if (m->script.actions[i].kind == SCRIPT_LOG)
			logdir_close(&m->targets[i].log);
	free(m->targets);
	script_free(&m->script);
	str_free(&m->label);
	polls_free(&m->polls);
}

int main(int argc, char **argv)
{
	static const int signals[] = { SIGTERM, SIGALRM };
	struct multilog m = { 0 };

	(void)argc;
	die_name("multilog");
	script_parse(&m.script, argc ? argv + 1 : argv);
	if (m.script.unknown)
		warn("warning: ignored: %s", m.script.unknown);
	m.signal_fd = sig_open(signals, COUNT_OF(signals));
	if (m.signal_fd == -1)
		die_errno(EXIT_RETRY, "fatal: unable to wait for signals");
	sig_ignore_write_signals();
	str_reserve(&m.label, TAI_LABEL_BYTES + 2);
	open_targets(&m);
	if (confine(&m) == -1)
		die_errno(EXIT_RETRY, "fatal: unable to enter the sandbox");
	run(&m);
	close_targets(&m);
	return EXIT_DONE;
}
