#include "tools/ucspi/limits.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "lib/die.h"

#define GOODBYE_MAX_BYTES 512
#define REST_PIECES 16 /* nobody who goes on sending holds us here */

bool limits_are_possible(const struct options *o)
{
	return o->per_address || o->per_network || o->rules ||
	       getenv("MAXCONNIP") || getenv("MAXCONNC");
}

static bool forbid(struct str *why, const char *name, uint64_t limit)
{
	str_set_c(why, name);
	str_append_byte(why, ':');
	str_append_u64(why, limit);
	return true;
}

bool limits_options_forbid(const struct options *o,
			   const struct limits_count *count, struct str *why)
{
	if (o->per_address && count->address >= o->per_address)
		return forbid(why, "-C", o->per_address);
	if (o->per_network && count->network >= o->per_network)
		return forbid(why, "-M", o->per_network);
	return false;
}

/* Is it set, and to a number? */
static bool limit(const struct options *o, const char *name, uint64_t *value)
{
	const char *text = getenv(name);

	if (!text)
		return false;
	if (view_u64(view_of(text), value))
		return true;
	if (o->common.verbosity >= ERRORS)
		warn("warning: ignoring %s, which is no number: %.40s", name,
		     text);
	return false;
}

/* The load of the last minute, times 100; 0 when nobody knows. */
static uint64_t load(void)
{
	double average;

	return getloadavg(&average, 1) == 1 ? (uint64_t)(average * 100) : 0;
}

bool limits_variables_forbid(const struct options *o,
			     const struct limits_count *count, struct str *why)
{
	uint64_t most;

	if (limit(o, "MAXLOAD", &most) && load() >= most)
		return forbid(why, "LOAD", most);
	if (limit(o, "MAXCONNIP", &most) && count->address >= most)
		return forbid(why, "MAXCONNIP", most);
	if (limit(o, "MAXCONNC", &most) && count->network >= most)
		return forbid(why, "MAXCONNC", most);
	return false;
}

/*
 * The socket is new, so there is room. What the client has sent by now is
 * thrown away: unread, it would take the farewell with it.
 */
void limits_say_goodbye(int fd)
{
	struct view text = view_of(getenv("DIEMSG"));
	struct str line = { 0 };
	char rest[4096];

	if (text.p) {
		str_set(&line, view_first(text, GOODBYE_MAX_BYTES));
		str_append(&line, VIEW("\r\n"));
		if (send(fd, line.p, line.len, MSG_DONTWAIT | MSG_NOSIGNAL) ==
		    -1) {
			/* It will see the end. */
		}
		str_free(&line);
	}
	for (int i = 0; i < REST_PIECES; i++)
		if (recv(fd, rest, sizeof(rest), MSG_DONTWAIT) !=
		    (ssize_t)sizeof(rest))
			break;
}
