#include "tools/vpopmail/vexit.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/die.h"

const char *verror(enum va_code code)
{
	switch (code) {
	case VA_SUCCESS:
		return "Success";
	case VA_ILLEGAL_USERNAME:
		return "Illegal username";
	case VA_USERNAME_EXISTS:
		return "Username exists";
	case VA_BAD_DIR:
		return "Unable to chdir to vpopmail directory";
	case VA_BAD_D_DIR:
		return "Unable to chdir to vpopmail/domains directory";
	case VA_EXIST_U_DIR:
		return "User's directory already exists?";
	case VA_SUBDIR_CREATION:
		return "Creation of user's subdirectories failed?";
	case VA_USER_DOES_NOT_EXIST:
		return "User does not exist";
	case VA_DOMAIN_DOES_NOT_EXIST:
		return "Domain does not exist";
	case VA_INVALID_DOMAIN_NAME:
		return "Invalid domain name";
	case VA_DOMAIN_ALREADY_EXISTS:
		return "Domain already exists";
	case VA_COULD_NOT_MAKE_DOMAIN_DIR:
		return "Could not make domain dir";
	case VA_COULD_NOT_UPDATE_FILE:
		return "Could not update file";
	case VA_CRYPT_FAILED:
		return "Crypt failed";
	case VA_BAD_CHAR:
		return "bad character";
	case VA_BAD_UID:
		return "running as invalid uid";
	case VA_NO_AUTH_CONNECTION:
		return "no auth connection";
	case VA_USER_NAME_TOO_LONG:
		return "user name too long";
	case VA_DOMAIN_NAME_TOO_LONG:
		return "domain name too long";
	case VA_PASSWD_TOO_LONG:
		return "password too long";
	case VA_GECOS_TOO_LONG:
		return "gecos too long";
	case VA_QUOTA_TOO_LONG:
		return "quota too long";
	case VA_DIR_TOO_LONG:
		return "dir too long";
	}
	return "Unknown error";
}

noreturn void vexit(enum va_code code)
{
	if (fflush(stdout) == EOF && code == VA_SUCCESS)
		die_errno(EXIT_RETRY, "cannot write to stdout");
	exit(code & 255);
}

noreturn void vexit_error(enum va_code code)
{
	printf("Error: %s\n", verror(code));
	vexit(code);
}

noreturn void vexit_usage(const char *usage, int exit_code)
{
	fputs(usage, stdout);
	fflush(stdout);
	exit(exit_code);
}
