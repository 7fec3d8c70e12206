#include "tools/vpopmail/vtool.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/control.h"
#include "lib/die.h"
#include "lib/home.h"
#include "lib/password.h"
#include "lib/sig.h"
#include "lib/vname.h"

void vtool_init(struct vtool *tool, const char *name)
{
	die_name(name);
	sig_ignore_write_signals();
	umask(077);
	*tool = (struct vtool){ 0 };
	home_path(&tool->home);
	tool->homefd = home_open();
	if (tool->homefd == -1) {
		warn_errno("cannot open %s", str_c(&tool->home));
		vexit_error(VA_BAD_DIR);
	}
	if (home_vpopmail(tool->homefd, &tool->vhome) == -1) {
		warn_errno("cannot read control/vpopmailhome");
		vexit_error(VA_BAD_DIR);
	}
	if (ids_load(&tool->ids, tool->homefd) == -1) {
		warn_errno("cannot read %s/users/ids", str_c(&tool->home));
		vexit_error(VA_BAD_UID);
	}
}

void vtool_version(void)
{
	puts("version: valija");
}

void vtool_domain_name(const char *arg, struct str *domain)
{
	switch (vname_domain(view_of(arg), domain)) {
	case VNAME_OK:
		return;
	case VNAME_BAD:
		vexit_error(VA_INVALID_DOMAIN_NAME);
	case VNAME_TOO_LONG:
		vexit_error(VA_DOMAIN_NAME_TOO_LONG);
	}
}

void vtool_lookup_address(const char *arg, struct vaddress *address)
{
	struct view user;
	struct view domain;

	vname_split(view_of(arg), &user, &domain);
	str_set(&address->user, user);
	str_lower(&address->user);
	str_set(&address->domain, domain);
	vtool_domain_name(str_c(&address->domain), &address->domain);
}

void vtool_address(const char *arg, struct vaddress *address)
{
	struct view user;
	struct view domain;

	vname_split(view_of(arg), &user, &domain);
	switch (vname_user(user, &address->user)) {
	case VNAME_OK:
		break;
	case VNAME_BAD:
		vexit_error(VA_ILLEGAL_USERNAME);
	case VNAME_TOO_LONG:
		vexit_error(VA_USER_NAME_TOO_LONG);
	}
	vtool_lookup_address(arg, address);
}

void vtool_check_password(struct view password)
{
	if (password.len > PASSWORD_MAX_BYTES)
		vexit_error(VA_PASSWD_TOO_LONG);
	for (size_t i = 0; i < password.len; i++)
		if ((unsigned char)password.p[i] < ' ' || password.p[i] == 0x7f)
			vexit_error(VA_BAD_CHAR);
}

bool vtool_stores_clear(struct vtool *tool)
{
	uint64_t wanted = 0;

	switch (control_u64(tool->homefd, "storeclear", &wanted)) {
	case CONTROL_OK:
		return wanted != 0;
	case CONTROL_ABSENT:
		return false;
	case CONTROL_ERROR:
		break;
	}
	warn_errno("cannot read control/storeclear");
	vexit_error(VA_NO_AUTH_CONNECTION);
}

enum va_code vtool_become(uid_t uid, gid_t gid)
{
	if (geteuid() == 0 && uid == 0) {
		warn("refusing to work on a domain that belongs to root");
		return VA_BAD_UID;
	}
	if (ids_become(uid, gid) == -1) {
		warn_errno("cannot become uid %ld gid %ld", (long)uid,
			   (long)gid);
		return VA_BAD_UID;
	}
	return VA_SUCCESS;
}

int vtool_enter_domain(struct vtool *tool, struct view domain,
		       struct vdomain *found)
{
	enum va_code code;
	int fd;

	switch (vdomain_find(tool->homefd, domain, found)) {
	case VDOMAIN_FOUND:
		break;
	case VDOMAIN_MISSING:
		vexit_error(VA_DOMAIN_DOES_NOT_EXIST);
	case VDOMAIN_ERROR:
		warn_errno("cannot read users/cdb");
		vexit_error(VA_NO_AUTH_CONNECTION);
	}
	code = vtool_become(found->uid, found->gid);
	if (code != VA_SUCCESS)
		vexit_error(code);
	fd = vdomain_open(found);
	if (fd == -1) {
		warn_errno("cannot open %s", str_c(&found->dir));
		vexit_error(VA_BAD_D_DIR);
	}
	return fd;
}
