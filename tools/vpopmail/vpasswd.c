/*
 * vpasswd - set the password of a mailbox.
 *
 * started by  an administrator, or a script of his
 * runs as     root, and becomes the owner of the domain; or as that owner
 * fds         0 the password when none was given, 1 errors of vpopmail's,
 *             2 details
 * exits       0, or 256 plus vpopmail's code (vexit.h)
 */
#include <stdio.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/password.h"
#include "tools/vpopmail/vexit.h"
#include "tools/vpopmail/vprompt.h"
#include "tools/vpopmail/vtool.h"
#include "tools/vpopmail/vuser.h"

#define RANDOM_MAX 128

static const char usage[] =
	"vpasswd: usage: [options] email_address [password]\n"
	"options: -v (print version number)\n"
	"         -r[len] (generate a len (default 8) char random password)\n";

static void make_random(struct str *password, const char *length)
{
	uint64_t count = 8;

	if (length && (!view_u64(view_of(length), &count) || count == 0 ||
		       count > RANDOM_MAX))
		vexit_usage(usage, 255);
	if (password_random(password, count) == -1)
		die_errno(EXIT_RETRY, "no random bytes");
	printf("Random password: %s\n", str_c(password));
}

static void parse(int argc, char **argv, struct vaddress *address,
		  struct str *password)
{
	int opt;

	while ((opt = getopt(argc, argv, "vr::")) != -1) {
		switch (opt) {
		case 'v':
			vtool_version();
			break;
		case 'r':
			make_random(password, optarg);
			break;
		default:
			vexit_usage(usage, 255);
		}
	}
	if (optind >= argc)
		vexit_usage(usage, 255);
	vtool_lookup_address(argv[optind], address);
	if (optind + 1 < argc && !password->len)
		str_set_c(password, argv[optind + 1]);
}

static enum va_code set(struct vtool *tool, struct vaddress *address,
			struct view password)
{
	struct vdomain domain = { 0 };
	struct vpasswd_record record;
	struct vpasswd_edit edit;
	struct str space = { 0 };
	enum va_code code = VA_USER_DOES_NOT_EXIST;
	bool store = vtool_stores_clear(tool);
	int fd = vtool_enter_domain(tool, str_view(&address->domain), &domain);

	if (vpasswd_edit_begin(&edit, fd, false) == -1) {
		warn_errno("cannot read %s/vpasswd", str_c(&domain.dir));
		return VA_COULD_NOT_UPDATE_FILE;
	}
	if (vpasswd_edit_find(&edit, str_view(&address->user), &record))
		code = vuser_set_password(&record, password, store, &space);
	if (code == VA_SUCCESS) {
		if (vpasswd_edit_put(&edit, &record) == -1 ||
		    vpasswd_edit_commit(&edit) == -1) {
			warn_errno("cannot write %s/vpasswd",
				   str_c(&domain.dir));
			code = VA_COULD_NOT_UPDATE_FILE;
		}
	}
	str_wipe(&space);
	vpasswd_edit_free(&edit);
	return code;
}

int main(int argc, char **argv)
{
	struct vaddress address = { 0 };
	struct str password = { 0 };
	struct vtool tool;
	enum va_code code;

	vtool_init(&tool, "vpasswd");
	parse(argc, argv, &address, &password);
	if (!password.len) {
		struct str who = { 0 };

		str_append(&who, str_view(&address.user));
		str_append_byte(&who, '@');
		str_append(&who, str_view(&address.domain));
		if (vprompt_password(str_c(&who), &password) == -1)
			vexit_error(VA_PASSWD_TOO_LONG);
		str_free(&who);
	}
	vtool_check_password(str_view(&password));
	code = set(&tool, &address, str_view(&password));
	str_wipe(&password);
	if (code != VA_SUCCESS)
		vexit_error(code);
	vexit(VA_SUCCESS);
}
