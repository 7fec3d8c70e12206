/*
 * vadduser - add a mailbox to a virtual domain.
 *
 * started by  an administrator, or a script of his
 * runs as     root, and becomes the owner of the domain; or as that owner
 * fds         0 the password when none was given, 1 errors of vpopmail's,
 *             2 details
 * exits       0, or 256 plus vpopmail's code (vexit.h)
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/password.h"
#include "tools/vpopmail/vexit.h"
#include "tools/vpopmail/vprompt.h"
#include "tools/vpopmail/vtool.h"
#include "tools/vpopmail/vuser.h"

#define GECOS_MAX_BYTES 64
#define QUOTA_MAX_BYTES 40
#define CRYPT_MAX_BYTES 128
#define RANDOM_MAX 128

static const char usage[] =
	"vadduser: usage: [options] email_address [password]\n"
	"options: -v (print version number)\n"
	"         -q quota_in_bytes (sets the user's quota, use NOQUOTA for "
	"unlimited)\n"
	"         -c comment (sets the gecos comment field)\n"
	"         -e standard_encrypted_password\n"
	"         -n no_password\n"
	"         -r[len] (generate a len (default 8) char random password)\n"
	"         -s (ignored)\n";

struct options {
	struct vuser user;
	struct vaddress address;
	struct str password;
};

/* -r[len]: a password of our own, shown once. */
static void make_random(struct options *o, const char *length)
{
	uint64_t count = 8;

	if (length && (!view_u64(view_of(length), &count) || count == 0 ||
		       count > RANDOM_MAX))
		vexit_usage(usage, 255);
	if (password_random(&o->password, count) == -1)
		die_errno(EXIT_RETRY, "no random bytes");
	printf("Random password: %s\n", str_c(&o->password));
}

static void parse(struct options *o, int argc, char **argv)
{
	int opt;

	while ((opt = getopt(argc, argv, "vsnq:c:e:r::")) != -1) {
		switch (opt) {
		case 'v':
			vtool_version();
			break;
		case 's':
			break;
		case 'n':
			o->user.none = true;
			break;
		case 'q':
			o->user.quota = view_of(optarg);
			break;
		case 'c':
			o->user.gecos = view_of(optarg);
			break;
		case 'e':
			o->user.hashed = true;
			str_set_c(&o->password, optarg);
			break;
		case 'r':
			make_random(o, optarg);
			break;
		default:
			vexit_usage(usage, 255);
		}
	}
	if (optind >= argc)
		vexit_usage(usage, 255);
	vtool_address(argv[optind], &o->address);
	if (optind + 1 < argc && !o->password.len)
		str_set_c(&o->password, argv[optind + 1]);
}

static void check(struct options *o)
{
	if (o->user.gecos.len > GECOS_MAX_BYTES)
		vexit_error(VA_GECOS_TOO_LONG);
	if (o->user.quota.len > QUOTA_MAX_BYTES)
		vexit_error(VA_QUOTA_TOO_LONG);
	if (o->user.hashed && o->password.len > CRYPT_MAX_BYTES)
		vexit_error(VA_PASSWD_TOO_LONG);
	if (!o->user.hashed)
		vtool_check_password(str_view(&o->password));
}

static void ask(struct options *o)
{
	struct str who = { 0 };

	str_append(&who, str_view(&o->address.user));
	str_append_byte(&who, '@');
	str_append(&who, str_view(&o->address.domain));
	if (vprompt_password(str_c(&who), &o->password) == -1)
		vexit_error(VA_PASSWD_TOO_LONG);
	str_free(&who);
}

static enum va_code add(struct vtool *tool, struct options *o)
{
	struct vdomain domain = { 0 };
	struct vpasswd_edit edit;
	enum va_code code;
	int fd =
		vtool_enter_domain(tool, str_view(&o->address.domain), &domain);

	if (vpasswd_edit_begin(&edit, fd, false) == -1) {
		warn_errno("cannot read %s/vpasswd", str_c(&domain.dir));
		return VA_COULD_NOT_UPDATE_FILE;
	}
	code = vuser_add(&edit, str_view(&domain.dir), &o->user);
	if (code == VA_SUCCESS && vpasswd_edit_commit(&edit) == -1) {
		warn_errno("cannot write %s/vpasswd", str_c(&domain.dir));
		code = VA_COULD_NOT_UPDATE_FILE;
	}
	vpasswd_edit_free(&edit);
	return code;
}

int main(int argc, char **argv)
{
	struct options o = { 0 };
	struct vtool tool;
	enum va_code code;

	vtool_init(&tool, "vadduser");
	parse(&o, argc, argv);
	if (!o.password.len && !o.user.none)
		ask(&o);
	check(&o);
	o.user.name = str_view(&o.address.user);
	o.user.password = str_view(&o.password);
	o.user.store_clear = vtool_stores_clear(&tool);
	code = add(&tool, &o);
	str_wipe(&o.password);
	if (code != VA_SUCCESS)
		vexit_error(code);
	vexit(VA_SUCCESS);
}
