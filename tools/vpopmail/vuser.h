#ifndef TOOLS_VPOPMAIL_VUSER_H
#define TOOLS_VPOPMAIL_VUSER_H

/*
 * Putting an account into a domain: its directory, then its record. The
 * caller has become the domain's owner.
 */

#include "lib/str.h"
#include "lib/vpasswd.h"
#include "tools/vpopmail/vexit.h"

struct vuser {
	struct view name;
	struct view password;
	bool hashed;      /* password is a crypt already */
	bool none;        /* nobody can log in */
	bool store_clear; /* keep password in clear beside its hash */
	struct view gecos;
	struct view quota; /* as typed; empty: none */
};

/*
 * edit is open; it is changed, not committed. domain_dir is where domainfd
 * stands, for the record. VA_SUCCESS or what was wrong (said on stderr).
 */
enum va_code vuser_add(struct vpasswd_edit *edit, struct view domain_dir,
		       const struct vuser *user) MUST_USE;

/* Set hash, and clear if wanted, of a record. The views go into *space. */
enum va_code vuser_set_password(struct vpasswd_record *record,
				struct view password, bool store_clear,
				struct str *space) MUST_USE;

#endif
