#ifndef DAEMONTOOLS_ACCOUNT_H
#define DAEMONTOOLS_ACCOUNT_H

/*
 * The account argument of setuidgid and envuidgid: a name that the system
 * knows (passwd, or whatever nsswitch.conf names), or `:UID:GID` in digits.
 */

#include <sys/types.h>

#include "lib/str.h"

enum account_result {
	ACCOUNT_OK,
	ACCOUNT_UNKNOWN, /* no such name, or not two numbers */
	ACCOUNT_ERROR,   /* it could not be looked up; errno */
};

enum account_result account_find(const char *text, uid_t *uid,
				 gid_t *gid) MUST_USE;

/* The same; says what is wrong and dies with EXIT_RETRY. */
void account_must(const char *text, uid_t *uid, gid_t *gid);

#endif
