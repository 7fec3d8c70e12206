#ifndef TOOLS_SERVICE_MAKER_H
#define TOOLS_SERVICE_MAKER_H

/*
 * Making a directory that is there completely or not at all.
 *
 *	maker_begin(&maker, "/var/qmail/service/smtpd");
 *	maker_folder(&maker, "env", 0755);
 *	maker_file(&maker, "env/PORT", 0644, VIEW("25\n"));
 *	maker_commit(&maker);
 *
 * It grows under a name with a dot in front, which svscan does not look at,
 * beside where it is to be; what is there already stays as it is. Whatever
 * goes wrong removes it again and dies with EXIT_RETRY. From begin to commit
 * signals wait.
 */

#include <signal.h>
#include <sys/types.h>

#include "lib/str.h"

#define MAKER_PARTS 64

struct maker {
	const char *target; /* as it was named; borrowed */
	int parentfd;
	int fd; /* the new directory */
	struct str name;
	struct str temp;
	struct str path; /* of the new directory as long as it grows */
	struct {
		const char *name;
		bool is_folder;
	} parts[MAKER_PARTS];
	size_t part_count;
	sigset_t signals; /* as they were blocked before */
};

/* target must not end in a slash, `.` or `..`. */
void maker_begin(struct maker *m, const char *target);
/* Names are below the new directory, and borrowed until the end. */
void maker_folder(struct maker *m, const char *name, mode_t mode);
void maker_file(struct maker *m, const char *name, mode_t mode,
		struct view content);
void maker_own(struct maker *m, const char *name, uid_t uid, gid_t gid);
/* Somebody else will make this file. */
void maker_expect(struct maker *m, const char *name);
void maker_commit(struct maker *m);

/* Remove what there is, complain with errno, and die. */
_Noreturn void maker_fail(struct maker *m, const char *what);

#endif
