/*
 * envuidgid - run a program with $UID and $GID telling an account's numbers.
 *
 * exits       100 for misuse; 111 if the account is unknown or the program
 *             cannot be run; else as the program
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib/die.h"
#include "tools/daemontools/account.h"
#include "tools/daemontools/run.h"

static void set_number(const char *name, unsigned long number)
{
	char digits[24];

	snprintf(digits, sizeof(digits), "%lu", number);
	if (setenv(name, digits, 1) == -1)
		die_errno(EXIT_RETRY, "fatal: unable to set %s", name);
}

int main(int argc, char **argv)
{
	uid_t uid = 0;
	gid_t gid = 0;

	die_name("envuidgid");
	if (argc < 3)
		die(EXIT_REJECT, "usage: envuidgid account child");
	account_must(argv[1], &uid, &gid);
	set_number("GID", gid);
	set_number("UID", uid);
	run_child(argv + 2);
}
