/*
 * setuidgid - become an account, then a program.
 *
 * runs as     root; anyone may become what he is already
 * exits       100 for misuse; 111 if the account is unknown, it cannot
 *             become it, or the program cannot be run; else as the program
 */
#include "lib/die.h"
#include "lib/ids.h"
#include "tools/daemontools/account.h"
#include "tools/daemontools/run.h"

int main(int argc, char **argv)
{
	uid_t uid = 0;
	gid_t gid = 0;

	die_name("setuidgid");
	if (argc < 3)
		die(EXIT_REJECT, "usage: setuidgid account child");
	account_must(argv[1], &uid, &gid);
	if (ids_become(uid, gid) == -1)
		die_errno(EXIT_RETRY, "fatal: unable to become uid %lu gid %lu",
			  (unsigned long)uid, (unsigned long)gid);
	run_child(argv + 2);
}
