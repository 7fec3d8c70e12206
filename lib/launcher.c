#include "lib/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/packet.h"
#include "lib/record.h"
#include "lib/sig.h"
#include "lib/spawn.h"

/*
 * To the launcher: packets of one byte, each with a socket, one for each
 * program. On that socket, to it: the targets of a descriptor, with that;
 * then START. From it: its pid, or 0, and an errno; then the status.
 */
#define START "\377"
#define NUMBER_BYTES ((size_t)8)

enum launcher_fd { /* what the launcher keeps, behind 0 to 2 */
		   LAUNCHER_SOCK = 3,
		   LAUNCHER_HOME = 4,
		   LAUNCHER_FDS = 5,
};

/* ---- in the launcher ---- */

static int send_numbers(int sock, uint64_t first, uint64_t second)
{
	char text[2 * NUMBER_BYTES];

	le64_write(text, first);
	le64_write(text + NUMBER_BYTES, second);
	return packet_send(sock, view_make(text, sizeof(text)), -1) == PACKET_OK
		       ? 0
		       : -1;
}

static bool is_program(const char *program)
{
	return faccessat(LAUNCHER_HOME, program, X_OK, AT_EACCESS) == 0;
}

/* Note where a descriptor goes; the caller has checked nothing. */
static bool place(struct spawn *s, int fd, struct view targets)
{
	for (size_t i = 0; i < targets.len; i++) {
		if (s->fd_count == SPAWN_MAX_FDS ||
		    (unsigned char)targets.p[i] >= SPAWN_MAX_TARGET)
			return false;
		spawn_fd(s, fd, targets.p[i]);
	}
	return true;
}

/* False when whoever asked is gone, or talks nonsense. */
static bool read_request(int sock, struct spawn *s)
{
	struct str packet = { 0 };
	int fd;

	for (;;) {
		if (packet_receive(sock, &packet, &fd) != PACKET_OK)
			return false;
		if (fd == -1)
			return view_eq(str_view(&packet), VIEW(START));
		if (!place(s, fd, str_view(&packet)))
			return false;
	}
}

/* Ours must not stay open: it would be no end of file for the other. */
static void close_placed(const struct spawn *s)
{
	for (size_t i = 0; i < s->fd_count; i++)
		if (i == 0 || s->fds[i].from != s->fds[i - 1].from)
			close(s->fds[i].from);
}

static noreturn void run_one(int sock, const char *program)
{
	const char *argv[] = { program, NULL };
	struct spawn s = { .argv = argv, .cwd = "." };
	int status;
	pid_t pid;

	if (!read_request(sock, &s))
		_exit(EXIT_RETRY);
	if (!is_program(program)) {
		/* Who asked may be gone: nobody is left to be told. */
		_exit(send_numbers(sock, 0, (uint64_t)errno) == -1);
	}
	pid = spawn_start(&s);
	if (pid == -1)
		_exit(send_numbers(sock, 0, (uint64_t)errno) == -1);
	close_placed(&s);
	if (send_numbers(sock, (uint64_t)pid, 0) == -1) {
		/* It may have read all, so its work stands. */
	}
	if (spawn_wait(pid, &status) == -1)
		_exit(EXIT_RETRY);
	_exit(send_numbers(sock, (uint64_t)status, 0) == -1);
}

static noreturn void serve(const char *program)
{
	struct str packet = { 0 };
	int sock;

	/* Nobody waits for the processes it makes. */
	signal(SIGCHLD, SIG_IGN);
	while (packet_receive(LAUNCHER_SOCK, &packet, &sock) == PACKET_OK) {
		pid_t pid;

		if (sock == -1)
			continue;
		pid = fork();
		if (pid == 0) {
			signal(SIGCHLD, SIG_DFL);
			close(LAUNCHER_SOCK);
			run_one(sock, program);
		}
		if (pid == -1)
			warn_errno("launcher: cannot fork");
		close(sock);
	}
	_exit(EXIT_DONE);
}

/* Move what it needs to 3 and 4, and let go of everything else. */
static int keep_descriptors(int sock, int homefd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int parked_sock = fcntl(sock, F_DUPFD_CLOEXEC, LAUNCHER_FDS);
	int parked_home = fcntl(homefd, F_DUPFD_CLOEXEC, LAUNCHER_FDS);

	if (null == -1 || parked_sock == -1 || parked_home == -1 ||
	    dup2(null, 0) == -1 || dup2(null, 1) == -1 ||
	    dup3(parked_sock, LAUNCHER_SOCK, O_CLOEXEC) == -1 ||
	    dup3(parked_home, LAUNCHER_HOME, O_CLOEXEC) == -1)
		return -1;
	return close_range(LAUNCHER_FDS, ~0U, 0);
}

static noreturn void become_launcher(int sock, int homefd, const char *program)
{
	sig_reset_all();
	sig_ignore_write_signals();
	if (keep_descriptors(sock, homefd) == -1 || fchdir(LAUNCHER_HOME) == -1)
		die_errno(EXIT_RETRY, "launcher: cannot begin");
	serve(program);
}

/* ---- in who asks ---- */

int launcher_open(struct launcher *launcher, int homefd, const char *program)
{
	int fds[2];
	int error;
	pid_t pid;

	launcher->sock = -1;
	if (packet_pair(fds) == -1)
		return -1;
	pid = fork();
	if (pid == 0)
		become_launcher(fds[1], homefd, program);
	error = errno;
	close(fds[1]);
	if (pid == -1) {
		close(fds[0]);
		errno = error;
		return -1;
	}
	launcher->sock = fds[0];
	return 0;
}

void launcher_close(struct launcher *launcher)
{
	if (launcher->sock != -1)
		close(launcher->sock);
	launcher->sock = -1;
}

/* Anything but success has an errno of its own, then. */
static int sent(enum packet_result result)
{
	if (result == PACKET_OK)
		return 0;
	if (result != PACKET_ERROR)
		errno = EPIPE;
	return -1;
}

int launch_begin(struct launch *launch, const struct launcher *launcher)
{
	int fds[2];

	*launch = (struct launch){ .sock = -1 };
	if (packet_pair(fds) == -1)
		return -1;
	launch->sock = fds[0];
	if (sent(packet_send(launcher->sock, VIEW("+"), fds[1])) == 0) {
		close(fds[1]);
		return 0;
	}
	close(fds[1]);
	launch_close(launch);
	return -1;
}

int launch_fd(struct launch *launch, int fd, struct view targets)
{
	return sent(packet_send(launch->sock, targets, fd));
}

static int receive_numbers(int sock, uint64_t *first, uint64_t *second)
{
	struct str packet = { 0 };
	int fd = -1;
	int result = -1;

	errno = EPIPE;
	if (packet_receive(sock, &packet, &fd) == PACKET_OK && fd == -1 &&
	    packet.len == 2 * NUMBER_BYTES) {
		*first = le64_read(packet.p);
		*second = le64_read(packet.p + NUMBER_BYTES);
		result = 0;
	}
	if (fd != -1)
		close(fd);
	str_free(&packet);
	return result;
}

int launch_start(struct launch *launch)
{
	uint64_t pid;
	uint64_t error;

	if (sent(packet_send(launch->sock, VIEW(START), -1)) == -1 ||
	    receive_numbers(launch->sock, &pid, &error) == -1)
		return -1;
	if (error) {
		errno = (int)error;
		return -1;
	}
	launch->pid = (pid_t)pid;
	return 0;
}

int launch_wait(struct launch *launch, int *status)
{
	uint64_t number;
	uint64_t zero;

	if (receive_numbers(launch->sock, &number, &zero) == -1)
		return -1;
	*status = (int)number;
	return 0;
}

void launch_close(struct launch *launch)
{
	if (launch->sock != -1)
		close(launch->sock);
	launch->sock = -1;
}
