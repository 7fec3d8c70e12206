/*
 * preline - give a program the message as a mailbox file would have it.
 *
 * started by  qmail-local, from a .qmail file: |preline procmail
 * runs as     the user, in his home
 * fds         0 the message
 * exits       as the program does; EXIT_REJECT misuse; EXIT_RETRY trouble
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/out.h"
#include "lib/sig.h"
#include "lib/spawn.h"
#include "local/handed.h"

/* Lines before the message, in their order. */
static struct {
	const char option; /* leaves it out; its capital puts it in again */
	const char *variable;
	bool wanted;
} lines[] = {
	{ 'f', "UFLINE", true },
	{ 'r', "RPLINE", true },
	{ 'd', "DTLINE", true },
};

static noreturn void usage(void)
{
	die(EXIT_REJECT, "usage: preline [ -dDfFrR ] program [ argument ... ]");
}

static bool choose(int option)
{
	for (size_t i = 0; i < COUNT_OF(lines); i++) {
		if (option != lines[i].option &&
		    option != lines[i].option - 'a' + 'A')
			continue;
		lines[i].wanted = option == lines[i].option ? false : true;
		return true;
	}
	return false;
}

static void parse_options(int argc, char **argv)
{
	int option;

	opterr = 0;
	while ((option = getopt(argc, argv, "+dDfFrR")) != -1)
		if (!choose(option))
			usage();
	if (!argv[optind])
		usage();
}

/* A program that has read enough may stop. */
static void give(int fd, struct view bytes)
{
	if (write_all(fd, bytes) == -1 && errno != EPIPE)
		die_errno(EXIT_RETRY, "fatal: unable to write to the program");
}

static void give_message(int fd)
{
	char space[65536];
	ssize_t got;

	if (lseek(STDIN_FILENO, 0, SEEK_SET) == -1 && errno != ESPIPE)
		die_errno(EXIT_RETRY, "fatal: unable to rewind the message");
	while ((got = read(STDIN_FILENO, space, sizeof(space))) > 0)
		give(fd, view_make(space, (size_t)got));
	if (got == -1)
		die_errno(EXIT_RETRY, "fatal: unable to read the message");
}

static pid_t start(const char *const *argv, int input)
{
	struct spawn how = { .argv = argv, .search_path = true, .asks = true };
	pid_t pid;

	spawn_fd(&how, input, STDIN_FILENO);
	pid = spawn_start(&how);
	if (pid == -1)
		die_errno(EXIT_RETRY, "fatal: unable to run %s", argv[0]);
	return pid;
}

int main(int argc, char **argv)
{
	const char *texts[COUNT_OF(lines)] = { NULL };
	int ends[2];
	int status;
	int code;
	pid_t pid;

	die_name("preline");
	sig_ignore_write_signals();
	parse_options(argc, argv);
	for (size_t i = 0; i < COUNT_OF(lines); i++)
		if (lines[i].wanted)
			texts[i] = handed_variable(lines[i].variable);
	if (pipe2(ends, O_CLOEXEC) == -1)
		die_errno(EXIT_RETRY, "fatal: unable to make a pipe");
	pid = start((const char *const *)argv + optind, ends[0]);
	close(ends[0]);
	for (size_t i = 0; i < COUNT_OF(lines); i++)
		if (texts[i])
			give(ends[1], view_of(texts[i]));
	give_message(ends[1]);
	close(ends[1]);
	if (spawn_wait(pid, &status) == -1)
		die_errno(EXIT_RETRY, "fatal: unable to wait for the program");
	code = spawn_exit_code(status);
	if (code == -1)
		die(EXIT_RETRY, "fatal: %s crashed", argv[optind]);
	return code;
}
