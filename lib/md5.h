#ifndef LIB_MD5_H
#define LIB_MD5_H

/*
 * MD5 (RFC 1321) and HMAC-MD5 (RFC 2104), for APOP and CRAM-MD5 only: those
 * protocols name it. Nothing here may be trusted to keep a secret that the
 * protocol does not already give away.
 */

#include "lib/str.h"

#define MD5_BYTES 16
#define MD5_HEX 32

struct md5 {
	uint32_t state[4];
	uint64_t length; /* bytes so far */
	unsigned char block[64];
};

void md5_init(struct md5 *md5);
void md5_add(struct md5 *md5, struct view bytes);
/* Ends the sum and wipes the state. */
void md5_end(struct md5 *md5, unsigned char sum[MD5_BYTES]);

void md5_hmac(struct view key, struct view text, unsigned char sum[MD5_BYTES]);

/* Lower-case hexadecimal, with a NUL. */
void md5_hex(const unsigned char sum[MD5_BYTES], char hex[MD5_HEX + 1]);

#endif
