/*
 * tcprulescheck - say what tcpserver would do with a connection.
 *
 * started by  an administrator
 * fds         1 the answer, 2 complaints
 * exits       EXIT_DONE when there is an answer, EXIT_REJECT for misuse,
 *             EXIT_RETRY when the cdb cannot be read
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/out.h"
#include "tools/ucspi/rules.h"

static void describe(struct out *out, struct view data)
{
	struct view name;
	struct view value;

	if (rules_deny(data)) {
		out_put_c(out, "deny connection\n");
		return;
	}
	while (rules_next_variable(&data, &name, &value)) {
		out_put_c(out, "set environment variable ");
		out_put(out, name);
		out_byte(out, '=');
		out_put(out, value);
		out_byte(out, '\n');
	}
	out_put_c(out, "allow connection\n");
}

int main(int argc, char **argv)
{
	const struct rules_peer peer = {
		.ip = view_of(getenv("TCPREMOTEIP")),
		.host = view_of(getenv("TCPREMOTEHOST")),
		.info = view_of(getenv("TCPREMOTEINFO")),
	};
	char space[1024];
	struct cdbmap map;
	struct str key = { 0 };
	struct str data = { 0 };
	struct out out;

	die_name("tcprulescheck");
	if (argc != 2)
		die(EXIT_REJECT, "usage: tcprulescheck rules.cdb");
	if (cdbmap_open(&map, AT_FDCWD, argv[1]) == -1)
		die_errno(EXIT_RETRY, "fatal: unable to read %s", argv[1]);
	out_init(&out, STDOUT_FILENO, space, sizeof(space), -1);
	switch (rules_find(&map, &peer, &key, &data)) {
	case CDBMAP_FOUND:
		out_put_c(&out, "rule ");
		out_put(&out, str_view(&key));
		out_put_c(&out, ":\n");
		break;
	case CDBMAP_MISSING:
		str_reset(&data);
		out_put_c(&out, "default:\n");
		break;
	case CDBMAP_ERROR:
		die_errno(EXIT_RETRY, "fatal: unable to read %s", argv[1]);
	}
	describe(&out, str_view(&data));
	if (out_flush(&out) == -1)
		die_errno(EXIT_RETRY, "fatal: unable to write output");
	cdbmap_close(&map);
	str_free(&key);
	str_free(&data);
	return EXIT_DONE;
}
