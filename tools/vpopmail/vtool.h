#ifndef TOOLS_VPOPMAIL_VTOOL_H
#define TOOLS_VPOPMAIL_VTOOL_H

/*
 * What every command of vpopmail needs: both homes, the ids, the names from
 * its arguments, and the domain it works on, opened as its owner.
 *
 * Functions here end the command with vpopmail's code when they cannot go
 * on: there is nothing else a caller could do.
 */

#include "lib/ids.h"
#include "lib/str.h"
#include "lib/vdomain.h"
#include "tools/vpopmail/vexit.h"

struct vtool {
	int homefd;      /* qmail's */
	struct str home; /* its path */
	struct str vhome;
	struct ids ids;
};

struct vaddress {
	struct str user;
	struct str domain;
};

void vtool_init(struct vtool *tool, const char *name);
/* Print `version: ...`, for -v. */
void vtool_version(void);

void vtool_domain_name(const char *arg, struct str *domain);
/* user@domain, checked and in lower case. */
void vtool_address(const char *arg, struct vaddress *address);
/* user@domain of an account that may have any name: only for looking up. */
void vtool_lookup_address(const char *arg, struct vaddress *address);

/* The password as it may be stored; vpopmail's limits. */
void vtool_check_password(struct view password);
/* Does control/storeclear ask for clear passwords to be kept as well? */
bool vtool_stores_clear(struct vtool *tool);

/*
 * Become its owner. Without root, being that already is enough. VA_SUCCESS,
 * or VA_BAD_UID after saying why on stderr.
 */
enum va_code vtool_become(uid_t uid, gid_t gid) MUST_USE;
/* Find the domain, become its owner, open its directory. */
int vtool_enter_domain(struct vtool *tool, struct view domain,
		       struct vdomain *found);

#endif
