/*
 * fixcrio - run a program and end each line of its input and output in CRLF.
 *
 * fds         as the program's; between it and 0 and 1 is a child of it
 * exits       EXIT_REJECT for misuse, EXIT_RETRY when it cannot set up or run
 *             the program; else as the program
 */
#include "lib/die.h"
#include "lib/inherit.h"
#include "tools/ucspi/between.h"
#include "tools/ucspi/crlf.h"

static void fix(void *arg, enum relay_way way, struct view bytes,
		struct str *to)
{
	struct crlf *ways = arg;

	crlf_fix(&ways[way], to, bytes);
}

int main(int argc, char **argv)
{
	struct crlf ways[2] = { 0 };
	const struct relay relay = { .name = "fixcrio",
				     .pass = fix,
				     .arg = ways };

	die_name("fixcrio");
	if (argc < 2)
		die(EXIT_REJECT, "usage: fixcrio program [ arg ... ]");
	inherit_descriptors();
	between_run(&relay, argv + 1);
}
