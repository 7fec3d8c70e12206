#ifndef LIB_VPASSWD_H
#define LIB_VPASSWD_H

/*
 * A vpopmail domain's accounts: vpasswd, its master, and vpasswd.cdb, from
 * which everybody reads.
 *
 * A line of vpasswd is `name:crypt:uid:gid:gecos:dir:quota[:clear]`. The cdb
 * has the name as key and what follows the first colon as data.
 *
 *	switch (vpasswd_find(domainfd, user, &space, &record)) ...
 *
 * Changes happen under .vpasswd.lock, and both files are replaced whole:
 *
 *	if (vpasswd_edit_begin(&edit, domainfd) == -1) ...
 *	vpasswd_edit_put(&edit, &record);
 *	if (vpasswd_edit_commit(&edit) == -1) ...
 *	vpasswd_edit_free(&edit);
 *
 * The order is vpasswd, then vpasswd.cdb. A writer that dies in between
 * leaves a cdb that lacks the last change; the next edit_begin sees that the
 * two differ and makes the cdb anew. A writer that dies earlier leaves both
 * as they were.
 *
 * Run an edit as the owner of the directory: the files then are his, and a
 * link laid there leads nowhere he could not go himself.
 */

#include "lib/cdbmap.h"
#include "lib/filemark.h"
#include "lib/str.h"

#define VPASSWD_MAX_BYTES ((size_t)64 * 1024 * 1024)

/* Bits of gid: what the account may not, or is. */
enum vpasswd_flag {
	VPASSWD_NO_PASSWD_CHANGE = 0x01,
	VPASSWD_NO_POP = 0x02,
	VPASSWD_NO_WEBMAIL = 0x04,
	VPASSWD_NO_IMAP = 0x08,
	VPASSWD_BOUNCE_MAIL = 0x10,
	VPASSWD_NO_RELAY = 0x20,
	VPASSWD_NO_DIALUP = 0x40,
	VPASSWD_USER_0 = 0x80,
	VPASSWD_USER_1 = 0x100,
	VPASSWD_USER_2 = 0x200,
	VPASSWD_USER_3 = 0x400,
	VPASSWD_NO_SMTP = 0x800,
	VPASSWD_QA_ADMIN = 0x1000,
	VPASSWD_OVERRIDE = 0x2000,
	VPASSWD_NO_SPAMASSASSIN = 0x4000,
	VPASSWD_DELETE_SPAM = 0x8000,
	VPASSWD_SA_ADMIN = 0x10000,
	VPASSWD_SA_EXPERT = 0x20000,
	VPASSWD_NO_MAILDROP = 0x40000,
};

#define VPASSWD_UID_APOP 1 /* uid of an account that may use only APOP */

struct vpasswd_record {
	struct view name;
	struct view crypt;
	uint64_t uid;
	uint64_t gid;
	struct view gecos;
	struct view dir;
	struct view quota;
	struct view clear; /* empty where none is stored */
};

/*
 * Parse what follows the name. The views point into `rest`. -1 with errno
 * EPROTO for what is no record.
 */
int vpasswd_parse(struct view name, struct view rest,
		  struct vpasswd_record *record) MUST_USE;
/* Append what follows the name and its colon. */
void vpasswd_format(struct str *to, const struct vpasswd_record *record);
/* May this be a field: no colon, no byte below blank, no DEL? */
bool vpasswd_is_field(struct view value);

enum vpasswd_result {
	VPASSWD_FOUND,
	VPASSWD_MISSING,
	VPASSWD_ERROR, /* errno; no cdb or a damaged one is this too */
};

/* domainfd is the domain's directory. The record points into *space. */
enum vpasswd_result vpasswd_find(int domainfd, struct view name,
				 struct str *space,
				 struct vpasswd_record *record) MUST_USE;

/*
 * The same for who looks again and again: a table of up to
 * VPASSWD_TABLE_BYTES stays in memory as long as the file is the same. All
 * zero is none; free it in the end.
 */
#define VPASSWD_TABLE_BYTES 32768

struct vpasswd_table {
	bool is_loaded;
	struct filemark mark;
	struct cdbmap map;
};

enum vpasswd_result vpasswd_table_find(struct vpasswd_table *table,
				       int domainfd, struct view name,
				       struct str *space,
				       struct vpasswd_record *record) MUST_USE;
void vpasswd_table_free(struct vpasswd_table *table);

/*
 * Every account, in the order of vpasswd.cdb. Begin, next until it is not
 * FOUND (MISSING is the end), end.
 */
struct vpasswd_list {
	struct cdbmap map;
	uint32_t at;
	struct str name;
	struct str space;
};

int vpasswd_list_begin(struct vpasswd_list *list, int domainfd) MUST_USE;
/* The record lasts until the next call. */
enum vpasswd_result vpasswd_list_next(struct vpasswd_list *list,
				      struct vpasswd_record *record) MUST_USE;
void vpasswd_list_end(struct vpasswd_list *list); /* keeps errno */

struct vpasswd_edit {
	int domainfd; /* borrowed */
	int lock;
	struct str text;
};

/*
 * Lock, read, and mend vpasswd.cdb if it does not match. `create` permits
 * vpasswd to be absent. -1 with errno; nothing is held then.
 */
int vpasswd_edit_begin(struct vpasswd_edit *edit, int domainfd,
		       bool create) MUST_USE;
/*
 * The first record, or the next with *rest carried along:
 *	for (rest = str_view(&edit.text); vpasswd_edit_next(&rest, &r);)
 * Records point into the text, until it changes.
 */
bool vpasswd_edit_next(struct view *rest, struct vpasswd_record *record);
bool vpasswd_edit_find(const struct vpasswd_edit *edit, struct view name,
		       struct vpasswd_record *record);
/*
 * Replace the record of that name, or put a new one in its place by name.
 * -1 with errno EINVAL, and nothing changed, for fields that would not be
 * read again as they are.
 */
int vpasswd_edit_put(struct vpasswd_edit *edit,
		     const struct vpasswd_record *record) MUST_USE;
bool vpasswd_edit_remove(struct vpasswd_edit *edit, struct view name);
/* -1 with errno. The lock is held until edit_free in any case. */
int vpasswd_edit_commit(struct vpasswd_edit *edit) MUST_USE;
void vpasswd_edit_free(struct vpasswd_edit *edit); /* keeps errno */

#endif
