#ifndef AUTH_VACCOUNT_H
#define AUTH_VACCOUNT_H

/*
 * An account of a virtual domain, from a log-in name: user@domain, or with
 * `%` or `/` for the `@`; without a domain, etc/defaultdomain in vpopmail's
 * home, or control/defaultdomain.
 */

#include "lib/vdomain.h"
#include "lib/vpasswd.h"

struct vaccount {
	struct str user;
	struct str domain_name;
	struct vdomain domain;
	struct vpasswd_record record; /* into space */
	struct str space;
};

enum vaccount_result {
	VACCOUNT_FOUND,
	VACCOUNT_UNKNOWN, /* no such account, or no name at all */
	VACCOUNT_ERROR,   /* errno */
};

enum vaccount_result vaccount_find(int homefd, struct view login,
				   struct vaccount *account) MUST_USE;
void vaccount_free(struct vaccount *account);

#endif
