#ifndef AUTH_CREDENTIALS_H
#define AUTH_CREDENTIALS_H

/*
 * What checkpassword programs are told on descriptor 3: a user, a password
 * and a challenge, each ended by a NUL.
 */

#include "lib/str.h"

#define CREDENTIALS_FD 3
#define CREDENTIALS_MAX_BYTES 1024 /* checkpassword's contract says 512 */

struct credentials {
	struct str space;
	struct view user;
	struct view password;  /* or digest (APOP), or challenge (CRAM) */
	struct view challenge; /* or digest (CRAM) */
};

enum credentials_result {
	CREDENTIALS_OK,
	CREDENTIALS_BAD,   /* not three strings */
	CREDENTIALS_ERROR, /* errno; EBADF when there is no descriptor 3 */
};

/* Read descriptor 3 to its end and close it. */
enum credentials_result credentials_read(struct credentials *c) MUST_USE;
/* The views point into text. A missing last NUL is forgiven. */
bool credentials_parse(struct view text, struct credentials *c) MUST_USE;
void credentials_wipe(struct credentials *c);

#endif
