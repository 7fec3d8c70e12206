#ifndef LIB_VDOMAIN_H
#define LIB_VDOMAIN_H

/*
 * Which directory and which uid a virtual domain has: the line
 * `+domain-:realdomain:uid:gid:dir:-::` of users/assign, read from users/cdb
 * as qmail-newu makes it. An alias domain has another real domain's line.
 */

#include <sys/types.h>

#include "lib/str.h"

struct vdomain {
	struct str real; /* the domain whose accounts these are */
	struct str dir;
	uid_t uid;
	gid_t gid;
};

enum vdomain_result {
	VDOMAIN_FOUND,
	VDOMAIN_MISSING,
	VDOMAIN_ERROR, /* errno */
};

/* domain in lower case. On FOUND, *found is overwritten. */
enum vdomain_result vdomain_find(int homefd, struct view domain,
				 struct vdomain *found) MUST_USE;
/* Open its directory, for lib/vpasswd.h. -1 with errno. */
int vdomain_open(struct vdomain *domain) MUST_USE;
void vdomain_free(struct vdomain *domain);

#endif
