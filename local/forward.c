/*
 * forward - send a message on to other addresses.
 *
 * started by  qmail-local, from a .qmail file: |forward bill@example.org
 * runs as     the user, in his home
 * fds         0 the message
 * exits       0 queued; EXIT_REJECT misuse, or refused for good; EXIT_RETRY
 */
#include <inttypes.h>

#include "lib/die.h"
#include "lib/sig.h"
#include "local/handed.h"
#include "local/redirect.h"

int main(int argc, char **argv)
{
	const char *sender;
	uint64_t size;
	int message;

	die_name("forward");
	sig_ignore_write_signals();
	if (argc < 2)
		die(EXIT_REJECT, "usage: forward address ...");
	sender = handed_variable("NEWSENDER");
	message = handed_message(&size);
	warn("qp %" PRIu64,
	     redirect(message, size, sender, (const char *const *)argv + 1));
	return EXIT_DONE;
}
