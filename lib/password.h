#ifndef LIB_PASSWORD_H
#define LIB_PASSWORD_H

/*
 * Passwords: hashing new ones, and checking one against a stored hash.
 *
 * Every hash of crypt(3) is understood; new ones are $6$ (SHA-512), which
 * vpopmail's users know. Link with -lcrypt.
 *
 * A check costs the same whether the account exists or not, if the caller
 * passes an empty hash for one that does not: then a dummy is computed, and
 * the answer is WRONG. Comparisons take the same time wherever they differ.
 */

#include "lib/str.h"

#define PASSWORD_MAX_BYTES 128 /* what vpopmail accepts */

enum password_result {
	PASSWORD_RIGHT,
	PASSWORD_WRONG, /* also: locked, empty or unknown kinds of hash */
	PASSWORD_ERROR, /* errno; nothing was decided */
};

/* Overwrite *hash with a fresh hash. -1 with errno. */
int password_hash(struct str *hash, struct view clear) MUST_USE;

enum password_result password_check(struct view hash,
				    struct view clear) MUST_USE;

/* APOP: is `digest` the MD5 of challenge and clear, in hexadecimal? */
bool password_apop(struct view clear, struct view challenge,
		   struct view digest) MUST_USE;
/* CRAM-MD5: is `digest` the HMAC-MD5 of challenge under clear? */
bool password_cram(struct view clear, struct view challenge,
		   struct view digest) MUST_USE;

/* Append count letters and digits nobody can guess. -1 with errno. */
int password_random(struct str *to, size_t count) MUST_USE;

/* Equal, without telling by time where they differ (lengths are told). */
bool password_same(struct view a, struct view b) MUST_USE;

#endif
