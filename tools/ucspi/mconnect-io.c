/*
 * mconnect-io - a person's side of a connection: what is typed, with CRs.
 *
 * started by  mconnect, through tcpclient
 * fds         0 and 1 the person, 6 and 7 the connection
 * exits       EXIT_DONE when the server ends the connection
 */
#include <unistd.h>

#include "lib/die.h"
#include "tools/ucspi/crlf.h"
#include "tools/ucspi/relay.h"

#define READ_FD 6
#define WRITE_FD 7

static void pass(void *arg, enum relay_way way, struct view bytes,
		 struct str *to)
{
	(void)arg;
	if (way == RELAY_IN)
		crlf_add(to, bytes);
	else
		str_append(to, bytes);
}

int main(void)
{
	const struct relay relay = { .name = "mconnect-io", .pass = pass };
	const struct relay_ends ends = {
		.in_from = STDIN_FILENO,
		.in_to = WRITE_FD,
		.out_from = READ_FD,
		.out_to = STDOUT_FILENO,
	};

	die_name("mconnect-io");
	relay_pass(&relay, &ends);
}
