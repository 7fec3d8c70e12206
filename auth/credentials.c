#include "auth/credentials.h"

#include <errno.h>
#include <unistd.h>

bool credentials_parse(struct view text, struct credentials *c)
{
	c->user = view_cut(&text, '\0');
	if (!text.p)
		return false;
	c->password = view_cut(&text, '\0');
	if (!text.p)
		return false;
	/* Nothing more than the two is an empty challenge. */
	c->challenge = view_cut(&text, '\0');
	return true;
}

enum credentials_result credentials_read(struct credentials *c)
{
	char space[CREDENTIALS_MAX_BYTES + 1];
	size_t len = 0;
	bool good;

	*c = (struct credentials){ 0 };
	while (len < sizeof(space)) {
		ssize_t got =
			read(CREDENTIALS_FD, space + len, sizeof(space) - len);

		if (got == -1 && errno == EINTR)
			continue;
		if (got == -1)
			return CREDENTIALS_ERROR;
		if (got == 0)
			break;
		len += (size_t)got;
	}
	close(CREDENTIALS_FD);
	if (len < sizeof(space))
		str_set(&c->space, view_make(space, len));
	explicit_bzero(space, sizeof(space));
	good = credentials_parse(str_view(&c->space), c);
	return good ? CREDENTIALS_OK : CREDENTIALS_BAD;
}

void credentials_wipe(struct credentials *c)
{
	str_wipe(&c->space);
	*c = (struct credentials){ 0 };
}
