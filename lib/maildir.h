#ifndef LIB_MAILDIR_H
#define LIB_MAILDIR_H

/*
 * Delivering into a Maildir so that a power cut loses nothing.
 *
 *	struct maildir_file file;
 *
 *	if (maildir_begin(&file, AT_FDCWD, "Maildir",
 *			  VIEW("1700000000.M5P7")) == -1) ...
 *	write_all(file.fd, ...)
 *	if (maildir_commit(&file) == -1) ...
 *
 * The order: create tmp/NAME (O_EXCL), write, fsync, link to new/ (rename
 * where link is impossible), unlink tmp/, fsync new/, and only then success.
 * On disks where one fsync is enough (lib/disks.h): create, write, rename to
 * new/, fsync. The name in new/ gets `,S=SIZE` appended.
 *
 * There a power cut may leave a name in new/ whose content is cut short or
 * NULs, before success was reported. So a name that is there already is no
 * delivery: the fresh file takes its place.
 */

#include <sys/types.h>

#include "lib/str.h"

struct maildir_file {
	int fd;          /* write here */
	struct str name; /* without ,S= */
	/*
	 * Set between begin and commit when this may not be the first try:
	 * then cur/ is searched too, which costs time in a large mailbox.
	 */
	bool may_repeat;
	struct view disks; /* set it: where one fsync is enough (lib/disks.h) */
	bool repeated;   /* after commit: new/ or cur/ had this very message */
	int new_fd;      /* all other names are relative to this */
	struct str temp; /* its name in tmp/ */
};

/*
 * A name for a message delivered now: `SECONDS.MmicrosecondsPpid.HOST`, at
 * each call another one. `/` and `:` in host become \057 and \072.
 */
void maildir_name(struct str *name, struct view host);

/*
 * path is the Maildir. A tmp or new that is a symbolic link is refused. In
 * tmp/ another name is taken when this one is there already. EINVAL: a name
 * with `/`, `:` or NUL, or one that is empty or begins with a dot.
 */
int maildir_begin(struct maildir_file *file, int dirfd, const char *path,
		  struct view name) MUST_USE;
/*
 * Make the message durable and visible. -1 with errno: nothing is left, but
 * where a reader has already taken it to cur/. A name that is in new/ (or
 * cur/, see may_repeat) already, with the same content or what a power cut
 * left of it, is this message delivered before: it is written anew in its
 * place, `repeated`. One with other content is in the way: EEXIST. A damaged
 * one in cur/ is removed, and the message gets a name that nobody has seen.
 */
int maildir_commit(struct maildir_file *file) MUST_USE;
void maildir_abort(struct maildir_file *file); /* keeps errno */

/* Create path with tmp, new, cur, mode 0700 each. -1 with errno. */
int maildir_make(int dirfd, const char *path) MUST_USE;

/*
 * Remove files in tmp/ that nobody has read or written for 36 hours, unless
 * somebody has it open for writing: then the clock was set.
 */
void maildir_clean(int dirfd);

#endif
