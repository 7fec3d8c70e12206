#include "lib/enqueue_ways.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/ready.h"
#include "lib/spawn.h"

#define CUSTOM_MAX_BYTES 512
/* Above the descriptors that a child of lib/spawn.h rearranges. */
#define CHILD_HOME_FD 16

static int open_pipes(int message[2], int envelope[2], int custom[2])
{
	message[0] = message[1] = -1;
	envelope[0] = envelope[1] = -1;
	custom[0] = custom[1] = -1;
	if (pipe2(message, O_CLOEXEC) == -1 ||
	    pipe2(envelope, O_CLOEXEC) == -1 || pipe2(custom, O_CLOEXEC) == -1)
		return -1;
	/* Our ends only: a program that does not read must not hang us. */
	if (fcntl(message[1], F_SETFL, O_NONBLOCK) == -1 ||
	    fcntl(envelope[1], F_SETFL, O_NONBLOCK) == -1 ||
	    fcntl(custom[0], F_SETFL, O_NONBLOCK) == -1)
		return -1;
	return 0;
}

/* It runs in the home, which is reached through a descriptor of ours. */
static pid_t start_program(int homefd, const char *program, int message,
			   int envelope, int custom)
{
	const char *argv[] = { program, NULL };
	struct spawn s = { .argv = argv };
	char cwd[64];
	pid_t pid;
	int home = fcntl(homefd, F_DUPFD_CLOEXEC, CHILD_HOME_FD);

	if (home == -1)
		return -1;
	snprintf(cwd, sizeof(cwd), "/proc/self/fd/%d", home);
	s.cwd = cwd;
	spawn_fd(&s, message, 0);
	spawn_fd(&s, envelope, 1);
	spawn_fd(&s, custom, 4);
	spawn_fd(&s, custom, 6);
	pid = spawn_start(&s);
	close(home);
	return pid;
}

/* As start_program(), by one who may do that. */
static pid_t have_program_started(struct enqueue *q,
				  const struct launcher *launcher, int message,
				  int envelope, int custom)
{
	if (launch_begin(&q->launch, launcher) == 0 &&
	    launch_fd(&q->launch, message, view_make("\0", 1)) == 0 &&
	    launch_fd(&q->launch, envelope, VIEW("\1")) == 0 &&
	    launch_fd(&q->launch, custom, VIEW("\4\6")) == 0 &&
	    launch_start(&q->launch) == 0)
		return q->launch.pid;
	enqueue_fail(q, ENQUEUE_CODE_EXEC);
	return -1;
}

void enqueue_program_open(struct enqueue *q, const char *program,
			  const struct launcher *launcher)
{
	int message[2];
	int envelope[2];
	int custom[2];
	pid_t pid = -1;

	/* Looked at first: a child that cannot exec says so to nobody. */
	if (!launcher &&
	    faccessat(q->homefd, program, X_OK, AT_EACCESS) == -1) {
		enqueue_fail(q, ENQUEUE_CODE_EXEC);
		return;
	}
	if (open_pipes(message, envelope, custom) == 0)
		pid = launcher ? have_program_started(q, launcher, message[0],
						      envelope[0], custom[1])
			       : start_program(q->homefd, program, message[0],
					       envelope[0], custom[1]);
	q->message = message[1];
	q->envelope = envelope[1];
	q->custom = custom[0];
	enqueue_close_fd(&message[0]);
	enqueue_close_fd(&envelope[0]);
	enqueue_close_fd(&custom[1]);
	if (pid == -1) {
		enqueue_fail(q, ENQUEUE_CODE_MEMORY);
		return;
	}
	q->pid = pid;
	q->program = true;
}

/* What it says on 4 or 6; more than we keep is read and dropped. */
static void read_custom(struct enqueue *q)
{
	char piece[CUSTOM_MAX_BYTES];
	ssize_t got;

	while ((got = read(q->custom, piece, sizeof(piece))) > 0)
		if (q->text.len < CUSTOM_MAX_BYTES)
			str_append(&q->text, view_make(piece, (size_t)got));
	if (got == 0)
		enqueue_close_fd(&q->custom);
}

/* Wait until the program takes bytes on fd, listening to it meanwhile. */
static bool wait_for_program(struct enqueue *q, int fd)
{
	int64_t deadline = clock_mono_ms() + ENQUEUE_STALL_MS;

	for (;;) {
		struct pollfd ready[2] = {
			{ .fd = fd, .events = POLLOUT },
			{ .fd = q->custom, .events = POLLIN },
		};
		int64_t left = deadline - clock_mono_ms();

		if (left <= 0)
			return false;
		if (poll(ready, 2, left > 1000000 ? 1000000 : (int)left) ==
			    -1 &&
		    errno != EINTR)
			return false;
		if (q->custom != -1 && ready[1].revents)
			read_custom(q);
		if (ready[0].revents)
			return true;
	}
}

void enqueue_program_write(struct enqueue *q, int fd, struct view bytes)
{
	while (bytes.len && q->code == 0) {
		ssize_t put = write(fd, bytes.p, bytes.len);

		if (put > 0)
			bytes = view_from(bytes, (size_t)put);
		else if (errno == EAGAIN) {
			if (!wait_for_program(q, fd))
				enqueue_fail(q, ENQUEUE_CODE_TIMEOUT);
		} else if (errno != EINTR)
			enqueue_fail(q, ENQUEUE_CODE_WRITE);
	}
}

static int wait_for_end(struct enqueue *q, int *status)
{
	if (q->launch.sock != -1)
		return launch_wait(&q->launch, status);
	return spawn_wait(q->pid, status);
}

/*
 * Its verdict. One who refused without reading everything is believed; one
 * who exits 0 without having read everything is not.
 */
static void await_program(struct enqueue *q)
{
	int status;
	int code;

	while (q->custom != -1 &&
	       ready_wait(q->custom, POLLIN, -1,
			  clock_mono_ms() + ENQUEUE_STALL_MS) == 0)
		read_custom(q);
	if (wait_for_end(q, &status) == -1) {
		enqueue_fail(q, ENQUEUE_CODE_BUG);
		return;
	}
	code = spawn_exit_code(status);
	if (code != 0 && (q->code == 0 || q->code == ENQUEUE_CODE_WRITE))
		q->code = code;
}

/* What it said, as far as it is fit for a reply: D or Z, then one line. */
enum enqueue_result enqueue_program_custom(struct enqueue *q)
{
	bool permanent = q->text.len && q->text.p[0] == 'D';
	size_t end = 0;

	if (q->text.len && (permanent || q->text.p[0] == 'Z'))
		str_remove(&q->text, 0, 1);
	while (end < q->text.len && q->text.p[end] >= ' ' &&
	       q->text.p[end] <= '~')
		end++;
	str_truncate(&q->text, end);
	if (end)
		return permanent ? ENQUEUE_PERMANENT : ENQUEUE_TEMPORARY;
	str_set_c(&q->text, enqueue_code_text(q->code));
	return ENQUEUE_TEMPORARY;
}

void enqueue_program_finish(struct enqueue *q)
{
	enqueue_close_fd(&q->message);
	enqueue_close_fd(&q->envelope);
	await_program(q);
}
