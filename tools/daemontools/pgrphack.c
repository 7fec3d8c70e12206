/*
 * pgrphack - run a program in a process group (and session) of its own.
 *
 * exits       100 for misuse; 111 if the program cannot be run; else as it
 */
#include <unistd.h>

#include "lib/die.h"
#include "tools/daemontools/run.h"

int main(int argc, char **argv)
{
	die_name("pgrphack");
	if (argc < 2)
		die(EXIT_REJECT, "usage: pgrphack child");
	/* Fails only for the leader of a group, who has what he wants. */
	if (setsid() == -1 && getpgrp() != getpid())
		die_errno(EXIT_RETRY, "fatal: unable to leave the group");
	run_child(argv + 1);
}
