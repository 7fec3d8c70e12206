#include "tools/ucspi/ident.h"

#include <unistd.h>

#include "lib/clock.h"
#include "lib/in.h"
#include "lib/ipaddr.h"
#include "lib/out.h"
#include "tools/ucspi/dial.h"

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

/* Connect from the very address that the connection came to. */
static int connect_from(const struct ident *ident)
{
	struct ipaddr local;
	struct ipaddr remote;
	int fd;

	if (!ipaddr_parse(ident->local_ip, &local) ||
	    !ipaddr_parse(ident->remote_ip, &remote))
		return -1;
	fd = dial_open(remote.v6);
	if (fd == -1)
		return -1;
	if (dial_bind(fd, &local, 0) == 0 &&
	    dial_connect(fd, &remote, IDENT_PORT,
			 (int)ident->timeout_s * 1000) == 0)
		return fd;
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
	int fd = connect_from(ident);
	bool known;

	if (fd == -1)
		return false;
	known = converse(ident, fd, deadline_ms, info);
	close(fd);
	return known;
}
