/*
 * except - turn a program's answer around.
 *
 * started by  condredirect, bouncesaying, or qmail-local from a .qmail file
 * runs as     the user, in his home
 * fds         0 the message
 * exits       EXIT_REJECT when the program exits 0, or for misuse; EXIT_RETRY
 *             when it exits 111 or does not work; else 0
 */
#include <unistd.h>

#include "lib/die.h"
#include "local/condition.h"

int main(int argc, char **argv)
{
	die_name("except");
	if (argc < 2)
		die(EXIT_REJECT, "usage: except program [ argument ... ]");
	return condition_holds((const char *const *)argv + 1, STDIN_FILENO)
		       ? EXIT_REJECT
		       : EXIT_DONE;
}
