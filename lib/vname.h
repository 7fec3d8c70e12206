#ifndef LIB_VNAME_H
#define LIB_VNAME_H

/*
 * Names of mailboxes and domains as vpopmail has them. They become names of
 * directories, fields of vpasswd and lines of control files, so what is
 * allowed is a list: nothing else can reach a path.
 *
 * User: a to z, digits and `-_.+=#~&'`, not beginning with `.` or `-`, no
 * `..`, no name that a domain's own files have. Domain: labels of letters,
 * digits and inner dashes; an international name is given as its A-label.
 */

#include "lib/str.h"

#define VNAME_USER_MAX 64
#define VNAME_DOMAIN_MAX 96

enum vname_result {
	VNAME_OK,
	VNAME_BAD,
	VNAME_TOO_LONG,
};

/* Overwrite *user or *domain with the name in lower case. */
enum vname_result vname_user(struct view name, struct str *user) MUST_USE;
enum vname_result vname_domain(struct view name, struct str *domain) MUST_USE;

/*
 * Cut `user@domain` at the last `@`, else the last `%`, else the last `/`.
 * Without one, all is the user, and domain is empty with p NULL.
 */
void vname_split(struct view address, struct view *user, struct view *domain);

#endif
