/*
 * fghack - stay until a program that puts itself into the background ends.
 *
 * fds         the program gets EXTRA_FDS more than it had, all writing to a
 *             pipe; when the last is closed, it and its children are gone
 * exits       100 for misuse; 111 if it cannot set up or run the program, or
 *             a signal ended that; else as the program
 */
#include <errno.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/spawn.h"
#include "tools/daemontools/run.h"

#define EXTRA_FDS 30

static noreturn void child(int read_fd, int write_fd, char **argv)
{
	close(read_fd);
	for (int i = 0; i < EXTRA_FDS; i++)
		if (dup(write_fd) == -1)
			break;
	run_child(argv);
}

/* Read until nobody can write any more. */
static void wait_for_end(int fd)
{
	char space[256];
	ssize_t got;

	do
		got = read(fd, space, sizeof(space));
	while (got > 0 || (got == -1 && errno == EINTR));
}

int main(int argc, char **argv)
{
	int fds[2];
	int status;
	pid_t pid;

	die_name("fghack");
	if (argc < 2)
		die(EXIT_REJECT, "usage: fghack child");
	if (pipe(fds) == -1)
		die_errno(EXIT_RETRY, "fatal: unable to create pipe");
	pid = fork();
	if (pid == -1)
		die_errno(EXIT_RETRY, "fatal: unable to fork");
	if (pid == 0)
		child(fds[0], fds[1], argv + 1);
	close(fds[1]);
	wait_for_end(fds[0]);
	if (spawn_wait(pid, &status) == -1)
		die_errno(EXIT_RETRY, "fatal: unable to wait for the child");
	if (spawn_exit_code(status) == -1)
		die(EXIT_RETRY, "fatal: child crashed");
	return spawn_exit_code(status);
}
