#include "tools/daemontools/account.h"

#include <errno.h>
#include <pwd.h>

#include "lib/die.h"

/* A uid or gid; (uid_t)-1 means "unchanged" to the kernel and is none. */
static bool parse_id(struct view digits, uint32_t *id)
{
	uint64_t value;

	if (!view_u64(digits, &value) || value >= UINT32_MAX)
		return false;
	*id = (uint32_t)value;
	return true;
}

static enum account_result find_numbers(struct view text, uid_t *uid,
					gid_t *gid)
{
	struct view first = view_cut(&text, ':');

	if (!text.p || !parse_id(first, uid) || !parse_id(text, gid))
		return ACCOUNT_UNKNOWN;
	return ACCOUNT_OK;
}

enum account_result account_find(const char *text, uid_t *uid, gid_t *gid)
{
	const struct passwd *pw;

	if (text[0] == ':')
		return find_numbers(view_of(text + 1), uid, gid);
	errno = 0;
	pw = getpwnam(text);
	if (!pw && (errno == EIO || errno == EMFILE || errno == ENFILE ||
		    errno == ENOMEM || errno == EINTR || errno == EAGAIN))
		return ACCOUNT_ERROR;
	if (!pw)
		return ACCOUNT_UNKNOWN;
	*uid = pw->pw_uid;
	*gid = pw->pw_gid;
	return ACCOUNT_OK;
}

void account_must(const char *text, uid_t *uid, gid_t *gid)
{
	switch (account_find(text, uid, gid)) {
	case ACCOUNT_OK:
		return;
	case ACCOUNT_UNKNOWN:
		die(EXIT_RETRY, "fatal: unknown account %s", text);
	case ACCOUNT_ERROR:
		die_errno(EXIT_RETRY, "fatal: unable to look up account %s",
			  text);
	}
}
