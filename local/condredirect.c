/*
 * condredirect - send a message on if a program says so.
 *
 * started by  qmail-local, from a .qmail file:
 *             |condredirect bill@example.org grep -q '^Subject: bill'
 * runs as     the user, in his home
 * fds         0 the message
 * exits       99 the program exited 0, and the message is queued: what follows
 *             in the .qmail file does not count; 0 it said no; EXIT_REJECT
 *             misuse, or refused for good; EXIT_RETRY
 */
#include <inttypes.h>

#include "lib/die.h"
#include "lib/sig.h"
#include "local/condition.h"
#include "local/handed.h"
#include "local/redirect.h"

#define EXIT_DONE_STOP 99

int main(int argc, char **argv)
{
	const char *address[] = { NULL, NULL };
	const char *sender;
	uint64_t size;
	int message;

	die_name("condredirect");
	sig_ignore_write_signals();
	if (argc < 3)
		die(EXIT_REJECT,
		    "usage: condredirect address program [ argument ... ]");
	sender = handed_variable("SENDER");
	message = handed_message(&size);
	if (!condition_holds((const char *const *)argv + 2, message))
		return EXIT_DONE;
	address[0] = argv[1];
	warn("qp %" PRIu64, redirect(message, size, sender, address));
	return EXIT_DONE_STOP;
}
