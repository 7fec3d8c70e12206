/*
 * setlock - run a program while a file is locked.
 *
 * fds         the program keeps a descriptor of the file; the lock lasts as
 *             long as that is open anywhere
 * exits       100 for misuse; 111 if it cannot lock (0 with -x) or cannot
 *             run the program; else as the program
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/lock.h"
#include "tools/daemontools/run.h"

struct options {
	bool give_up; /* -n: do not wait for the lock */
	bool quiet;   /* -x: no lock is no error */
};

static noreturn void usage(void)
{
	die(EXIT_REJECT, "usage: setlock [ -nNxX ] file program [ arg ... ]");
}

static void parse(struct options *options, int argc, char **argv)
{
	int letter;

	opterr = 0;
	while ((letter = getopt(argc, argv, "+nNxX")) != -1)
		switch (letter) {
		case 'n':
			options->give_up = true;
			break;
		case 'N':
			options->give_up = false;
			break;
		case 'x':
			options->quiet = true;
			break;
		case 'X':
			options->quiet = false;
			break;
		default:
			usage();
		}
	if (argc - optind < 2)
		usage();
}

static void take(const struct options *options, const char *path)
{
	/* Not close-on-exec: the program is to hold it. */
	int fd = open(path, O_WRONLY | O_NONBLOCK | O_APPEND | O_CREAT, 0600);

	if (fd == -1 && options->quiet)
		_exit(EXIT_DONE);
	if (fd == -1)
		die_errno(EXIT_RETRY, "fatal: unable to open %s", path);
	if ((options->give_up ? lock_try(fd) : lock_take(fd)) == 0)
		return;
	if (options->quiet)
		_exit(EXIT_DONE);
	die_errno(EXIT_RETRY, "fatal: unable to lock %s", path);
}

int main(int argc, char **argv)
{
	struct options options = { 0 };

	die_name("setlock");
	parse(&options, argc, argv);
	take(&options, argv[optind]);
	run_child(argv + optind + 1);
}
