#ifndef TOOLS_VPOPMAIL_VEXIT_H
#define TOOLS_VPOPMAIL_VEXIT_H

/*
 * How vpopmail's commands end: success is 0, and each failure has a negative
 * number. The shell sees 256 plus that number, and stdout gets
 * `Error: what it was`. Details, with errno, go to stderr (lib/die.h).
 */

#include <stdnoreturn.h>

enum va_code {
	VA_SUCCESS = 0,
	VA_ILLEGAL_USERNAME = -1,
	VA_USERNAME_EXISTS = -2,
	VA_BAD_DIR = -3,
	VA_BAD_D_DIR = -5,
	VA_EXIST_U_DIR = -7,
	VA_SUBDIR_CREATION = -9,
	VA_USER_DOES_NOT_EXIST = -10,
	VA_DOMAIN_DOES_NOT_EXIST = -11,
	VA_INVALID_DOMAIN_NAME = -12,
	VA_DOMAIN_ALREADY_EXISTS = -13,
	VA_COULD_NOT_MAKE_DOMAIN_DIR = -14,
	VA_COULD_NOT_UPDATE_FILE = -17,
	VA_CRYPT_FAILED = -18,
	VA_BAD_CHAR = -20,
	VA_BAD_UID = -22,
	VA_NO_AUTH_CONNECTION = -23,
	VA_USER_NAME_TOO_LONG = -25,
	VA_DOMAIN_NAME_TOO_LONG = -26,
	VA_PASSWD_TOO_LONG = -27,
	VA_GECOS_TOO_LONG = -28,
	VA_QUOTA_TOO_LONG = -29,
	VA_DIR_TOO_LONG = -30,
};

const char *verror(enum va_code code);

/* Flush stdout and end. */
noreturn void vexit(enum va_code code);
/* Say `Error: ...` first. */
noreturn void vexit_error(enum va_code code);
/* Print the usage text; end with this exit code (0 or 255). */
noreturn void vexit_usage(const char *usage, int exit_code);

#endif
