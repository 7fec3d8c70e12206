#ifndef TOOLS_VPOPMAIL_VDOMAINDIR_H
#define TOOLS_VPOPMAIL_VDOMAINDIR_H

/*
 * The directory of a domain. Both functions work in a child process that
 * has become the domain's owner, since the directory is his, and what he
 * laid there must not lead root anywhere.
 *
 * While a domain is being added its directory holds the file .incomplete;
 * an interrupted vadddomain may be repeated.
 */

#include <sys/types.h>

#include "tools/vpopmail/vexit.h"
#include "tools/vpopmail/vuser.h"

#define VDOMAINDIR_MARK ".incomplete"

struct vdomaindir {
	const char *base;    /* its domains/ holds the directory */
	const char *domain;  /* the directory's name there */
	const char *dir;     /* the path of all of it */
	const char *command; /* the line of .qmail-default */
	uid_t uid;
	gid_t gid;
	const struct vuser *postmaster;
};

enum va_code vdomaindir_make(const struct vdomaindir *d) MUST_USE;
/* The last step of adding: take the mark away. */
enum va_code vdomaindir_finish(const struct vdomaindir *d) MUST_USE;
/* Remove dir with all it holds; only uid, gid and dir matter. */
enum va_code vdomaindir_remove(const struct vdomaindir *d) MUST_USE;
/* Does this directory hold the mark? */
bool vdomaindir_is_marked(const char *dir);

#endif
