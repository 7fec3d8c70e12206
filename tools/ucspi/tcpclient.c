/*
 * tcpclient - make a TCP connection and run a program with it.
 *
 * fds         the program reads the connection from 6 and writes it to 7; all
 *             others are passed on
 * exits       EXIT_REJECT for misuse, EXIT_RETRY when there is no connection
 *             or the program cannot be run; else as the program
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/inherit.h"
#include "tools/ucspi/clientoptions.h"
#include "tools/ucspi/peer.h"
#include "tools/ucspi/reach.h"

#define READ_FD 6
#define WRITE_FD 7

static noreturn void cannot(const struct client_options *o, const char *what,
			    const char *object)
{
	if (o->common.verbosity >= ERRORS)
		warn_errno("fatal: unable to %s%s", what, object);
	_exit(EXIT_RETRY);
}

static void set_environment(const struct client_options *o, int fd,
			    const struct sockaddr *remote)
{
	static struct environment env; /* until exec */
	struct peer peer = {
		.names = {
			.want_remote_host = o->common.remote_host,
			.want_info = o->common.remote_info,
			.timeout_s = o->common.timeout_s,
		},
	};

	environment_begin(&env);
	if (peer_open(&peer, fd, remote) == -1)
		cannot(o, "get the addresses", "");
	peer_ask(&peer, o->common.local_host);
	peer_environment(&peer, &env);
	peer_free(&peer);
}

static void set_delay(const struct client_options *o, int fd)
{
	const int yes = 1;

	if (o->common.no_delay &&
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)) == -1)
		cannot(o, "set TCP_NODELAY", "");
}

/* A copy without close-on-exec; fd may lie there already. */
static int place(int fd, int to)
{
	return fd == to ? fcntl(fd, F_SETFD, 0) : dup2(fd, to);
}

static noreturn void run_program(const struct client_options *o, int fd)
{
	if (place(fd, READ_FD) == -1 || place(fd, WRITE_FD) == -1)
		cannot(o, "set up descriptors", "");
	signal(SIGPIPE, SIG_DFL);
	execvp(o->program[0], o->program);
	cannot(o, "run ", o->program[0]);
}

int main(int argc, char **argv)
{
	struct sockaddr_storage remote;
	struct client_options o;
	int fd;

	die_name("tcpclient");
	inherit_descriptors();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL); /* tcplookup is waited for */
	client_options_parse(&o, argc, argv);
	fd = reach(&o, &remote);
	set_delay(&o, fd);
	set_environment(&o, fd, (struct sockaddr *)&remote);
	run_program(&o, fd);
}
