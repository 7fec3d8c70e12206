#ifndef LIB_IDS_H
#define LIB_IDS_H

/*
 * Who runs what: users/ids, written at install time.
 *
 * Each line is `name uid gid`; names are those of conf-users plus what the
 * programs ask for (alias qmaild qmaill qmailp qmailq qmailr qmails qmailt
 * qmaila vpopmail), and `group:NAME gid` for the groups (qmail, nofiles).
 * An instance of an ordinary user holds the single line `single uid gid`:
 * then every name resolves to that pair, and nobody changes uid.
 */

#include <sys/types.h>

#include "lib/str.h"

struct ids {
	struct str text;
	bool single;
	uid_t single_uid;
	gid_t single_gid;
};

/* 0, or -1 with errno (ENOENT absent, EINVAL a line that is none). */
int ids_load(struct ids *ids, int homefd) MUST_USE;
/* 0, or -1 (errno ENOENT) for a name that is not listed. */
int ids_user(const struct ids *ids, const char *name, uid_t *uid,
	     gid_t *gid) MUST_USE;
int ids_group(const struct ids *ids, const char *name, gid_t *gid) MUST_USE;
void ids_free(struct ids *ids);

/*
 * Become uid:gid for good: setgroups to exactly gid, setgid, setuid, then
 * look whether it is so. Without root, being uid already is enough.
 * -1 with errno.
 */
int ids_become(uid_t uid, gid_t gid) MUST_USE;

#endif
