#ifndef LIB_MAILDIR_H
#define LIB_MAILDIR_H

/*
 * Delivering into a Maildir so that a power cut loses nothing.
 *
 *	struct maildir_file file;
 *
 *	if (maildir_begin(&file, dirfd, VIEW("1700000000.M5P7")) == -1) ...
 *	write_all(file.fd, ...)
 *	if (maildir_commit(&file) == -1) ...
 *
 * The order: create tmp/NAME (O_EXCL, O_NOFOLLOW), write, fsync, link to
 * new/ (rename where link is impossible), unlink tmp/, fsync new/, and only
 * then success. The name in new/ gets `,S=SIZE` appended.
 */

#include <sys/types.h>

#include "lib/str.h"

struct maildir_file {
	int fd; /* write here */
	int dirfd;
	struct str name; /* without ,S= */
	/*
	 * Set between begin and commit when this may not be the first try:
	 * then cur/ is searched too, which costs time in a large mailbox.
	 */
	bool may_repeat;
	bool repeated; /* after commit: new/ or cur/ had this very file */
	int tmp_fd;
	int new_fd;
	struct str temp; /* its name in tmp/ */
};

/*
 * A name for a message delivered now: `SECONDS.MmicrosecondsPpid.HOST`, at
 * each call another one. `/` and `:` in host become \057 and \072.
 */
void maildir_name(struct str *name, struct view host);

/*
 * dirfd is the open Maildir, borrowed until commit or abort. A tmp or new
 * that is a symbolic link is refused. In tmp/ another name is taken when
 * this one is there already. EINVAL: a name with `/`, `:` or NUL, or one
 * that is empty or begins with a dot.
 */
int maildir_begin(struct maildir_file *file, int dirfd,
		  struct view name) MUST_USE;
/*
 * Make the message durable and visible. -1 with errno: nothing is left. A
 * name that is in new/ already, with the same size, is this message
 * delivered before: success, `repeated`.
 */
int maildir_commit(struct maildir_file *file) MUST_USE;
void maildir_abort(struct maildir_file *file); /* keeps errno */

/* Create path with tmp, new, cur, mode 0700 each. -1 with errno. */
int maildir_make(int dirfd, const char *path) MUST_USE;

/*
 * Remove files in tmp/ that nobody has read or written for 36 hours, unless
 * one of ours holds it locked: then the clock was set.
 */
void maildir_clean(int dirfd);

#endif
