#ifndef POPD_MAILDROP_H
#define POPD_MAILDROP_H

/*
 * The messages of a Maildir as a POP3 session sees them: listed once, oldest
 * first, numbered from 0 here. Other programs may rename or remove files
 * meanwhile; a file is looked for again by its base name (what precedes the
 * first colon) before it is called gone.
 *
 *	if (maildrop_open(&drop, "Maildir") == -1) ...
 *	for (i = 0; i < drop.count; i++)
 *		maildrop_size(&drop, i, &octets)
 *	maildrop_commit(&drop)
 *	maildrop_close(&drop);
 *
 * Symbolic links are not followed, neither as folders nor as messages.
 */

#include <stdint.h>
#include <sys/types.h>

#include "lib/str.h"

struct message {
	size_t name; /* offset into maildrop.names; NUL-terminated */
	int64_t mtime_ns;
	uint64_t file_bytes;
	uint64_t octets; /* as sent; valid with `sized` */
	bool in_new;
	bool sized;
	bool deleted; /* marked by the session */
	bool seen;    /* sent in whole */
	bool gone;
};

struct maildrop {
	int fd; /* the Maildir; -1 when closed */
	int new_fd;
	int cur_fd;
	struct str names;
	struct message *messages;
	size_t count;
	size_t cap;
};

/* 0, or -1 with errno. Also clears out old files in tmp/. */
int maildrop_open(struct maildrop *drop, const char *path) MUST_USE;
void maildrop_close(struct maildrop *drop);

/* The name as it was listed; what precedes the colon. */
struct view maildrop_base(const struct maildrop *drop, size_t i);

/* A descriptor for reading, or -1 with errno; ENOENT: gone for good. */
int maildrop_read(struct maildrop *drop, size_t i) MUST_USE;

/*
 * The octets that sending it takes. Read from the name's W= where that can
 * be right, else counted. -1 with errno.
 */
int maildrop_size(struct maildrop *drop, size_t i, uint64_t *octets) MUST_USE;

/* Append the unique id: 1 to 70 printable bytes (RFC 1939 section 7). */
void maildrop_uid(const struct maildrop *drop, size_t i, struct str *uid);

/*
 * The session is over: remove what is marked, move what was in new/ to cur/.
 * Returns how many marked messages could not be removed (errno of the last).
 */
size_t maildrop_commit(struct maildrop *drop) MUST_USE;

/* The W= of a file name; false when there is none. */
bool maildrop_name_octets(struct view base, uint64_t *octets) MUST_USE;

#endif
