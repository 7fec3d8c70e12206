#include "lib/password.h"

#include <crypt.h>
#include <errno.h>

#include "lib/md5.h"
#include "lib/random.h"

#define SALT_BYTES 12
#define KIND "$6$"

/*
 * Costs what a hash of ours costs, which depends on the salt's length too
 * (measured: 16 instead of 12 bytes take a third longer).
 */
static const char dummy[] = KIND "nobodyhasit.$";

bool password_same(struct view a, struct view b)
{
	volatile unsigned char differ = 0;

	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		differ |= (unsigned char)(a.p[i] ^ b.p[i]);
	return differ == 0;
}

/*
 * crypt(3) into *hash; 0, or -1 with errno: EINVAL for a setting or a
 * password that crypt refuses, which is final.
 */
static int crypt_into(struct str *hash, struct view clear, const char *setting)
{
	struct crypt_data data = { 0 };
	struct str text = { 0 };
	const char *made;
	int result = -1;

	if (view_has(clear, '\0') || clear.len >= CRYPT_MAX_PASSPHRASE_SIZE) {
		errno = EINVAL;
		return -1;
	}
	str_set(&text, clear);
	made = crypt_rn(str_c(&text), setting, &data, sizeof(data));
	if (made && *made != '*') {
		str_set_c(hash, made);
		result = 0;
	} else if (errno == ERANGE) {
		errno = EINVAL; /* a password too long for this kind */
	}
	str_wipe(&text);
	explicit_bzero(&data, sizeof(data));
	return result;
}

int password_hash(struct str *hash, struct view clear)
{
	unsigned char salt[SALT_BYTES];
	char setting[CRYPT_GENSALT_OUTPUT_SIZE];

	if (random_fill(salt, sizeof(salt)) == -1 ||
	    !crypt_gensalt_rn(KIND, 0, (const char *)salt, sizeof(salt),
			      setting, sizeof(setting)))
		return -1;
	return crypt_into(hash, clear, setting);
}

enum password_result password_check(struct view hash, struct view clear)
{
	struct str stored = { 0 };
	struct str made = { 0 };
	enum password_result result = PASSWORD_WRONG;
	/* `!` and `*` lock an account: crypt(3) never makes them. */
	bool usable = hash.len && hash.p[0] != '*' && hash.p[0] != '!' &&
		      !view_has(hash, '\0');

	if (usable)
		str_set(&stored, hash);
	else
		str_set_c(&stored, dummy);
	if (crypt_into(&made, clear, str_c(&stored)) == -1) {
		if (errno != EINVAL)
			result = PASSWORD_ERROR;
	} else if (usable && password_same(str_view(&made), hash)) {
		result = PASSWORD_RIGHT;
	}
	str_wipe(&stored);
	str_wipe(&made);
	return result;
}

static bool same_sum(const unsigned char sum[MD5_BYTES], struct view digest)
{
	char hex[MD5_HEX + 1];
	struct str lower = { 0 };
	bool same;

	md5_hex(sum, hex);
	str_set(&lower, digest);
	str_lower(&lower);
	same = password_same(str_view(&lower), view_make(hex, MD5_HEX));
	str_free(&lower);
	return same;
}

bool password_apop(struct view clear, struct view challenge, struct view digest)
{
	unsigned char sum[MD5_BYTES];
	struct md5 md5;

	md5_init(&md5);
	md5_add(&md5, challenge);
	md5_add(&md5, clear);
	md5_end(&md5, sum);
	return clear.len && challenge.len && same_sum(sum, digest);
}

bool password_cram(struct view clear, struct view challenge, struct view digest)
{
	unsigned char sum[MD5_BYTES];

	md5_hmac(clear, challenge, sum);
	return clear.len && challenge.len && same_sum(sum, digest);
}

int password_random(struct str *to, size_t count)
{
	/* 64 letters: no modulo bias. `.` and `-` need no quoting anywhere. */
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "abcdefghijklmnopqrstuvwxyz0123456789.-";

	while (count--) {
		unsigned char byte;

		if (random_fill(&byte, 1) == -1)
			return -1;
		str_append_byte(to, letters[byte & 63]);
	}
	return 0;
}
