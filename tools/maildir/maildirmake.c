/*
 * maildirmake - create a Maildir.
 *
 * started by  users and administrators
 * exits       EXIT_DONE when it is there for good, EXIT_REJECT for misuse,
 *             EXIT_RETRY when it cannot be created
 */
#include <fcntl.h>

#include "lib/die.h"
#include "lib/maildir.h"

int main(int argc, char **argv)
{
	die_name("maildirmake");
	if (argc != 2)
		die(EXIT_REJECT, "usage: maildirmake name");
	if (maildir_make(AT_FDCWD, argv[1]) == -1)
		die_errno(EXIT_RETRY, "fatal: unable to mkdir %s", argv[1]);
	return EXIT_DONE;
}
