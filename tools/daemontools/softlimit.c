/*
 * softlimit - run a program with other soft resource limits.
 *
 * exits       100 for misuse; 111 if a limit cannot be set or the program
 *             cannot be run; else as the program
 */
#include <sys/resource.h>
#include <unistd.h>

#include "lib/die.h"
#include "tools/daemontools/run.h"

#define MAX_AT_ONCE 4

/* Which limits each option sets. */
static const struct {
	char letter;
	int count;
	int resources[MAX_AT_ONCE];
} options[] = {
	{ 'a', 1, { RLIMIT_AS } },
	{ 'c', 1, { RLIMIT_CORE } },
	{ 'd', 1, { RLIMIT_DATA } },
	{ 'f', 1, { RLIMIT_FSIZE } },
	{ 'l', 1, { RLIMIT_MEMLOCK } },
	{ 'm', 4, { RLIMIT_DATA, RLIMIT_STACK, RLIMIT_MEMLOCK, RLIMIT_AS } },
	{ 'o', 1, { RLIMIT_NOFILE } },
	{ 'p', 1, { RLIMIT_NPROC } },
	{ 'r', 1, { RLIMIT_RSS } },
	{ 's', 1, { RLIMIT_STACK } },
	{ 't', 1, { RLIMIT_CPU } },
};

static noreturn void usage(void)
{
	die(EXIT_REJECT,
	    "usage: softlimit [-a allbytes] [-c corebytes] [-d databytes] "
	    "[-f filebytes] [-l lockbytes] [-m membytes] [-o openfiles] "
	    "[-p processes] [-r residentbytes] [-s stackbytes] [-t cpusecs] "
	    "child");
}

/* `=` is the hard limit; a number above that is the hard limit too. */
static void limit(int resource, const char *text)
{
	struct rlimit now;
	uint64_t value;

	if (getrlimit((__rlimit_resource_t)resource, &now) == -1)
		die_errno(EXIT_RETRY, "fatal: unable to read a limit");
	if (view_eq(view_of(text), VIEW("=")))
		now.rlim_cur = now.rlim_max;
	else if (!view_u64(view_of(text), &value))
		usage();
	else
		now.rlim_cur = value < now.rlim_max ? value : now.rlim_max;
	if (setrlimit((__rlimit_resource_t)resource, &now) == -1)
		die_errno(EXIT_RETRY, "fatal: unable to set a limit");
}

static void apply(int letter, const char *text)
{
	for (size_t i = 0; i < COUNT_OF(options); i++)
		if (options[i].letter == letter) {
			for (int r = 0; r < options[i].count; r++)
				limit(options[i].resources[r], text);
			return;
		}
	usage();
}

int main(int argc, char **argv)
{
	int letter;

	die_name("softlimit");
	opterr = 0;
	while ((letter = getopt(argc, argv, "+a:c:d:f:l:m:o:p:r:s:t:")) != -1)
		apply(letter, optarg);
	if (optind >= argc)
		usage();
	run_child(argv + optind);
}
