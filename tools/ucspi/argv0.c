/*
 * argv0 - run a program under another name.
 *
 * exits       EXIT_REJECT for misuse, EXIT_RETRY when the program cannot be
 *             run; else as the program
 */
#include <unistd.h>

#include "lib/die.h"

int main(int argc, char **argv)
{
	die_name("argv0");
	if (argc < 3)
		die(EXIT_REJECT, "usage: argv0 realname program [ arg ... ]");
	execvp(argv[1], argv + 2);
	die_errno(EXIT_RETRY, "fatal: unable to run %s", argv[1]);
}
