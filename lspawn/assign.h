#ifndef LSPAWN_ASSIGN_H
#define LSPAWN_ASSIGN_H

/*
 * Who an address belongs to: users/assign, and users/cdb made from it
 * (qmail-users(5)).
 *
 * The cdb holds `!local\0` for each simple assignment, `!pre` for each
 * wildcard, both in lower case, and under the empty key every byte that a
 * wildcard ends in. A value is user, uid, gid, home, dash and ext with NULs
 * between them.
 */

#include <sys/types.h>

#include "lib/cdbmap.h"
#include "lib/filemark.h"
#include "lib/str.h"

struct assign {
	struct view user;
	uid_t uid;
	gid_t gid;
	struct view home;
	struct view dash;
	struct view ext;
};

enum assign_result {
	ASSIGN_FOUND,
	ASSIGN_MISSING, /* no users/cdb, or no entry there */
	ASSIGN_ERROR,   /* errno; EPROTO for a damaged file */
};

/*
 * users/cdb, in memory or open as long as nobody replaces it: assign_find()
 * looks each time. All zero is none open yet.
 */
struct assign_table {
	bool is_open;
	struct filemark mark;
	struct cdbmap map;
	struct str wild_ends; /* bytes that a wildcard ends in */
};

void assign_close(struct assign_table *table);

/*
 * The entry of a local part: the simple one, else the longest wildcard.
 * *record is overwritten with six fields that end in NULs each, as
 * qmail-getpw prints them.
 */
enum assign_result assign_find(struct assign_table *table, int homefd,
			       struct view local, struct str *record) MUST_USE;

/* Split such a record; the views point into it. False when it is none. */
bool assign_parse(struct view record, struct assign *assign) MUST_USE;

/*
 * One line of users/assign, without its LF, as key and value of users/cdb.
 * The last byte of a wildcard is added to *wild_ends. False when it is no
 * assignment.
 */
bool assign_line(struct view line, struct str *key, struct str *value,
		 struct str *wild_ends) MUST_USE;

#endif
