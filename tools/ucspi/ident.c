#include "tools/ucspi/ident.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/in.h"
#include "lib/ipaddr.h"
#include "lib/out.h"

#define IDENT_PORT 113
#define LINE_MAX_BYTES 1000 /* RFC 1413 section 4 */

bool ident_parse(struct view line, struct str *info)
{
	struct view rest = line;

	view_cut(&rest, ':'); /* the ports: the connection is ours alone */
	if (!view_eq_nocase(view_trim(view_cut(&rest, ':')), VIEW("USERID")))
		return false;
	view_cut(&rest, ':'); /* the operating system */
	if (!rest.p)
		return false;
	rest = view_trim(rest);
	for (size_t i = 0; i < rest.len && info->len < IDENT_MAX_BYTES; i++)
		if ((unsigned char)rest.p[i] >= ' ' && rest.p[i] != 127)
			str_append_byte(info, rest.p[i]);
	return info->len > 0;
}

static int wait_connected(int fd, int64_t deadline_ms)
{
	struct pollfd ready = { .fd = fd, .events = POLLOUT };
	int64_t left = deadline_ms - clock_mono_ms();
	int error = 0;
	socklen_t len = sizeof(error);

	if (left <= 0 || poll(&ready, 1, (int)left) != 1)
		return -1;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1 || error)
		return -1;
	return 0;
}

/* Connect from the very address that the connection came to. */
static int connect_from(const struct ident *ident, int64_t deadline_ms)
{
	struct sockaddr_storage address;
	struct ipaddr local;
	struct ipaddr remote;
	socklen_t len;
	int fd;

	if (!ipaddr_parse(ident->local_ip, &local) ||
	    !ipaddr_parse(ident->remote_ip, &remote))
		return -1;
	fd = socket(remote.v6 ? AF_INET6 : AF_INET,
		    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	len = ipaddr_to_socket(&local, 0, &address);
	if (bind(fd, (struct sockaddr *)&address, len) == -1)
		goto fail;
	len = ipaddr_to_socket(&remote, IDENT_PORT, &address);
	if (connect(fd, (struct sockaddr *)&address, len) == 0)
		return fd;
	if (errno == EINPROGRESS && wait_connected(fd, deadline_ms) == 0)
		return fd;
fail:
	close(fd);
	return -1;
}

/* The question, a line; the answer, a line. */
static bool converse(const struct ident *ident, int fd, int64_t deadline_ms,
		     struct str *info)
{
	char space[1024];
	struct str line = { 0 };
	struct in in;
	bool known;

	in_init(&in, fd, space, sizeof(space), (int)ident->timeout_s * 1000);
	in.deadline_ms = deadline_ms;
	str_appendf(&line, "%u , %u\r\n", ident->remote_port,
		    ident->local_port);
	known = write_all(fd, str_view(&line)) == 0 &&
		in_line(&in, &line, LINE_MAX_BYTES) == IN_OK &&
		ident_parse(str_view(&line), info);
	str_free(&line);
	return known;
}

bool ident_ask(const struct ident *ident, struct str *info)
{
	int64_t deadline_ms =
		clock_mono_ms() + (int64_t)ident->timeout_s * 1000;
	int fd = connect_from(ident, deadline_ms);
	bool known;

	if (fd == -1)
		return false;
	known = converse(ident, fd, deadline_ms, info);
	close(fd);
	return known;
}
