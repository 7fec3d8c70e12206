#ifndef TOOLS_VPOPMAIL_VQMAIL_H
#define TOOLS_VPOPMAIL_VQMAIL_H

/*
 * qmail's side of a virtual domain: its line in users/assign (and users/cdb
 * from it), in virtualdomains and rcpthosts, not in locals; and telling
 * qmail-send.
 *
 * Every function that changes a file takes that file's own lock; the one of
 * vqmail_lock() keeps whole changes of domains apart. All return 0, or -1
 * after saying on stderr what went wrong. Each may be repeated.
 */

#include <sys/types.h>

#include "lib/str.h"
#include "tools/vpopmail/vtool.h"

/* From this many lines on, new domains go into morercpthosts. */
#define VQMAIL_RCPTHOSTS_LINES 50

/* One change of domains at a time. The descriptor; close it to unlock. */
int vqmail_lock(struct vtool *tool) MUST_USE;

/* A line `+domain-:real:uid:gid:dir:-::`, read from users/assign itself. */
struct vqmail_line {
	struct str domain;
	struct str real;
	struct str dir;
	uid_t uid;
	gid_t gid;
};

/* 1 found, 0 not, -1. */
int vqmail_assigned(struct vtool *tool, struct view domain,
		    struct vqmail_line *found) MUST_USE;
/*
 * Append to *names, each ended by NUL, the domains whose line has this real
 * domain, or every virtual domain when real is empty.
 */
int vqmail_domains(struct vtool *tool, struct view real,
		   struct str *names) MUST_USE;
void vqmail_line_free(struct vqmail_line *line);

/* Lines of users/assign, then qmail-newu. */
int vqmail_assign(struct vtool *tool, const struct vqmail_line *line) MUST_USE;
int vqmail_unassign(struct vtool *tool, struct view domain) MUST_USE;

/* 1 when virtualdomains gives the domain to somebody else; -1. */
int vqmail_taken(struct vtool *tool, struct view domain) MUST_USE;
/* virtualdomains and locals. */
int vqmail_route(struct vtool *tool, struct view domain) MUST_USE;
int vqmail_unroute(struct vtool *tool, struct view domain) MUST_USE;

/* rcpthosts or morercpthosts; `build` runs qmail-newmrh. */
int vqmail_accept(struct vtool *tool, struct view domain, bool build) MUST_USE;
int vqmail_unaccept(struct vtool *tool, struct view domain,
		    bool build) MUST_USE;

/*
 * Let qmail-send read its control files again: an `h` to the supervise of
 * the service named in control/sendservice, by default /service/qmail-send,
 * as svc -h does it. No pid is looked up, so no stranger can get the signal.
 * A qmail-send that is not supervised is named on stderr, and no error.
 */
void vqmail_tell_send(struct vtool *tool);

#endif
