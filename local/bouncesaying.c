/*
 * bouncesaying - bounce a message, perhaps only if a program says so.
 *
 * started by  qmail-local, from a .qmail file: |bouncesaying 'Gone.'
 * runs as     the user, in his home
 * fds         0 the message; 1 what the sender is told
 * exits       EXIT_REJECT bounce, or misuse; 0 the program said no; EXIT_RETRY
 *             it does not work
 */
#include <unistd.h>

#include "lib/die.h"
#include "lib/out.h"
#include "lib/str.h"
#include "local/condition.h"

int main(int argc, char **argv)
{
	struct str line = { 0 };

	die_name("bouncesaying");
	if (argc < 2)
		die(EXIT_REJECT,
		    "usage: bouncesaying error [ program [ argument ... ] ]");
	if (argc > 2 &&
	    !condition_holds((const char *const *)argv + 2, STDIN_FILENO))
		return EXIT_DONE;
	str_set_c(&line, argv[1]);
	str_append_byte(&line, '\n');
	if (write_all(STDOUT_FILENO, str_view(&line)) == -1)
		warn_errno("unable to say why");
	return EXIT_REJECT;
}
