#include "tools/ucspi/announcer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/die.h"
#include "lib/ids.h"
#include "lib/out.h"
#include "lib/ready.h"
#include "lib/sandbox.h"
#include "lib/sig.h"
#include "tools/ucspi/nobody.h"
#include "tools/ucspi/proxy.h"

static const struct sandbox sandbox = {
	.name = "tcpserver",
	.calls = SANDBOX_IO,
	.max_fds = 16,
	.quiet = true,
};

/*
 * What it tells: whether there is a client, then for each end whether it is
 * IPv6 (1), its address (16) and its port (2), the client's first.
 */
#define END_BYTES 19
#define MESSAGE_BYTES (1 + 2 * END_BYTES)

static void pack_end(char *to, const struct ipaddr *ip, unsigned port)
{
	to[0] = ip->v6 ? 1 : 0;
	memcpy(to + 1, ip->bytes, 16);
	to[17] = (char)(port >> 8);
	to[18] = (char)(port & 255);
}

/* It may have been taken over by whoever sent the header. */
static void unpack_end(const char *from, struct ipaddr *ip, unsigned *port)
{
	ipaddr_from_bytes(ip, from + 1, from[0] == 1);
	*port = (unsigned)(unsigned char)from[17] << 8 |
		(unsigned char)from[18];
}

/* ---- in the process ---- */

enum announcer_fd {
	CONNECTION = 0,
	ANSWER = 1,
};

/* As PROXY_OK and PROXY_BAD, or PROXY_MORE when no more comes. */
static enum proxy_result read_header(struct proxy_header *header,
				     const char **why)
{
	int64_t deadline = clock_mono_ms() + ANNOUNCER_TIMEOUT_MS;
	enum proxy_result result = PROXY_MORE;
	char bytes[PROXY_MAX_BYTES];
	size_t have = 0;

	*why = "no PROXY header";
	while (result == PROXY_MORE &&
	       ready_wait(CONNECTION, POLLIN, -1, deadline) == 0) {
		ssize_t got = recv(CONNECTION, bytes + have,
				   sizeof(bytes) - have, MSG_PEEK);

		if (got <= 0)
			break;
		result = proxy_parse(view_make(bytes, have + (size_t)got),
				     header);
		if (result == PROXY_OK)
			got = (ssize_t)(header->length - have);
		/* Look at the client's bytes, but take the header's alone. */
		if (result != PROXY_BAD &&
		    recv(CONNECTION, bytes + have, (size_t)got, 0) != got)
			break;
		have += (size_t)got;
	}
	if (result == PROXY_BAD)
		*why = "bad PROXY header";
	return result;
}

static void answer(const struct proxy_header *header)
{
	char message[MESSAGE_BYTES] = { header->is_announced ? 1 : 0 };

	pack_end(message + 1, &header->remote_ip, header->remote_port);
	pack_end(message + 1 + END_BYTES, &header->local_ip,
		 header->local_port);
	if (write_all(ANSWER, view_make(message, sizeof(message))) == -1)
		_exit(EXIT_RETRY); /* nobody waits for it any more */
}

static noreturn void cannot(const char *what)
{
	warn_errno("warning: dropping connection, unable to %s", what);
	_exit(EXIT_RETRY);
}

static void give_up_everything(const struct announcer *a, int conn, int pipe)
{
	sig_reset_all();
	if (dup2(conn, CONNECTION) == -1 || dup2(pipe, ANSWER) == -1 ||
	    close_range(STDERR_FILENO + 1, ~0U, 0) == -1)
		cannot("set up descriptors");
	if (a->change_ids && ids_become(a->uid, a->gid) == -1)
		cannot("set uid and gid");
	if (sandbox_enter(&sandbox) == -1)
		cannot("enter the sandbox");
}

static noreturn void run(const struct announcer *a, const struct caller *caller)
{
	struct proxy_header header;
	struct str ip = { 0 };
	const char *why;

	if (read_header(&header, &why) == PROXY_OK) {
		answer(&header);
		_exit(EXIT_DONE);
	}
	ipaddr_format(&ip, &caller->ip);
	if (!a->quiet)
		warn("warning: dropping connection, %s from %s", why,
		     str_c(&ip));
	_exit(EXIT_REJECT);
}

/* ---- in tcpserver ---- */

void announcer_init(struct announcer *announcer, const struct options *o)
{
	*announcer = (struct announcer){
		.quiet = o->common.verbosity < ERRORS,
		.change_ids = geteuid() == 0,
	};
	if (announcer->change_ids)
		nobody_find(&announcer->uid, &announcer->gid);
}

int announcer_start(const struct announcer *announcer,
		    const struct caller *caller)
{
	int ends[2];
	int error;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) == -1)
		return -1;
	pid = fork();
	if (pid == 0) {
		give_up_everything(announcer, caller->fd, ends[1]);
		run(announcer, caller);
	}
	error = errno;
	close(ends[1]);
	if (pid != -1)
		return ends[0];
	close(ends[0]);
	errno = error;
	return -1;
}

bool announcer_finish(int fd, struct caller *caller)
{
	char message[MESSAGE_BYTES];
	ssize_t got = read(fd, message, sizeof(message));

	close(fd);
	if (got != (ssize_t)sizeof(message))
		return false;
	if (message[0] != 1)
		return true;
	caller->is_announced = true;
	caller->proxy_ip = caller->ip;
	caller->proxy_port = caller->port;
	unpack_end(message + 1, &caller->ip, &caller->port);
	unpack_end(message + 1 + END_BYTES, &caller->local_ip,
		   &caller->local_port);
	return true;
}
