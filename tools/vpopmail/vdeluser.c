/*
 * vdeluser - remove a mailbox and all its mail.
 *
 * started by  an administrator, or a script of his
 * runs as     root, and becomes the owner of the domain; or as that owner
 * fds         1 errors of vpopmail's, 2 details
 * exits       0, or 256 plus vpopmail's code (vexit.h)
 */
#include <unistd.h>

#include "lib/die.h"
#include "lib/vpasswd.h"
#include "tools/vpopmail/vexit.h"
#include "tools/vpopmail/vfolder.h"
#include "tools/vpopmail/vtool.h"

static const char usage[] = "vdeluser: usage: [options] email_address\n"
			    "options: -v (print version number)\n";

/* The part of dir below the domain's directory; empty when it is not. */
static struct view below(struct view dir, struct view domain_dir)
{
	struct view rest = view_from(dir, domain_dir.len);
	struct view walk;

	if (!view_starts(dir, domain_dir) || !view_starts(rest, VIEW("/")))
		return (struct view){ 0 };
	rest = view_from(rest, 1);
	walk = rest;
	while (walk.p) {
		struct view part = view_cut(&walk, '/');

		if (part.len == 0 || part.p[0] == '.')
			return (struct view){ 0 };
	}
	return rest;
}

static enum va_code remove_mail(int fd, struct str *dir,
				const struct vdomain *domain)
{
	struct view part = below(str_view(dir), str_view(&domain->dir));
	struct str name = { 0 };
	enum va_code code = VA_SUCCESS;

	if (part.len == 0) {
		warn("left alone, it is not below the domain's directory: %s",
		     str_c(dir));
		return code;
	}
	str_set(&name, part);
	if (vfolder_remove(fd, str_c(&name)) == -1) {
		warn_errno("cannot remove %s", str_c(dir));
		code = VA_BAD_DIR;
	}
	str_free(&name);
	return code;
}

/* First the record, so that nothing is delivered into what goes away. */
static enum va_code remove_user(struct vtool *tool, struct vaddress *address)
{
	struct vdomain domain = { 0 };
	struct vpasswd_record record;
	struct vpasswd_edit edit;
	struct str dir = { 0 };
	enum va_code code;
	int fd = vtool_enter_domain(tool, str_view(&address->domain), &domain);

	if (vpasswd_edit_begin(&edit, fd, false) == -1) {
		warn_errno("cannot read %s/vpasswd", str_c(&domain.dir));
		return VA_COULD_NOT_UPDATE_FILE;
	}
	if (!vpasswd_edit_find(&edit, str_view(&address->user), &record)) {
		code = VA_USER_DOES_NOT_EXIST;
		goto out;
	}
	str_set(&dir, record.dir);
	vpasswd_edit_remove(&edit, str_view(&address->user));
	if (vpasswd_edit_commit(&edit) == -1) {
		warn_errno("cannot write %s/vpasswd", str_c(&domain.dir));
		code = VA_COULD_NOT_UPDATE_FILE;
		goto out;
	}
	code = remove_mail(fd, &dir, &domain);
out:
	str_free(&dir);
	vpasswd_edit_free(&edit);
	return code;
}

int main(int argc, char **argv)
{
	struct vaddress address = { 0 };
	struct vtool tool;
	enum va_code code;
	int opt;

	vtool_init(&tool, "vdeluser");
	while ((opt = getopt(argc, argv, "v")) != -1) {
		if (opt != 'v')
			vexit_usage(usage, 255);
		vtool_version();
	}
	if (optind >= argc)
		vexit_usage(usage, 255);
	vtool_lookup_address(argv[optind], &address);
	code = remove_user(&tool, &address);
	if (code != VA_SUCCESS)
		vexit_error(code);
	vexit(VA_SUCCESS);
}
