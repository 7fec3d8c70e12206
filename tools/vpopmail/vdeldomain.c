/*
 * vdeldomain - remove a virtual domain with all its mail, or an alias of one.
 *
 * started by  an administrator, or a script of his
 * runs as     root; a child that becomes the domain's owner removes its
 *             files. In an instance with one uid: that uid
 * fds         1 errors of vpopmail's, 2 details
 * exits       0, or 256 plus vpopmail's code (vexit.h)
 *
 * The order is vadddomain's, backwards; an interrupted run may be repeated.
 */
#include <stdio.h>
#include <unistd.h>

#include "lib/die.h"
#include "tools/vpopmail/vdomaindir.h"
#include "tools/vpopmail/vexit.h"
#include "tools/vpopmail/vqmail.h"
#include "tools/vpopmail/vtool.h"

static const char usage[] =
	"vdeldomain: usage: [options] domain_name\n"
	"options: -v (print version number)\n"
	"         -f (force delete of virtual domains with aliases)\n";

static enum va_code stop_accepting(struct vtool *tool, struct view domain)
{
	if (vqmail_unaccept(tool, domain, true) == -1 ||
	    vqmail_unroute(tool, domain) == -1)
		return VA_COULD_NOT_UPDATE_FILE;
	return VA_SUCCESS;
}

/* The names that share the directory, without the domain's own. */
static bool has_aliases(const struct str *names, struct view domain)
{
	struct view rest = str_view(names);

	while (rest.len)
		if (!view_eq_nocase(view_cut(&rest, '\0'), domain))
			return true;
	return false;
}

static void warn_of_aliases(const struct str *names, struct view domain)
{
	struct view rest = str_view(names);

	puts("Warning: Alias domains exist, use -f to force delete:");
	while (rest.len) {
		struct view name = view_cut(&rest, '\0');

		if (!view_eq_nocase(name, domain))
			printf("   %.*s\n", (int)name.len, name.p);
	}
}

/* Every name, the domain's own last: while its line stands, we can repeat. */
static enum va_code unassign_all(struct vtool *tool, const struct str *names,
				 struct view domain)
{
	struct view rest = str_view(names);

	while (rest.len) {
		struct view name = view_cut(&rest, '\0');

		if (view_eq_nocase(name, domain))
			continue;
		if (stop_accepting(tool, name) != VA_SUCCESS ||
		    vqmail_unassign(tool, name) == -1)
			return VA_COULD_NOT_UPDATE_FILE;
	}
	if (vqmail_unassign(tool, domain) == -1)
		return VA_COULD_NOT_UPDATE_FILE;
	return VA_SUCCESS;
}

static enum va_code delete_alias(struct vtool *tool, struct view domain)
{
	enum va_code code = stop_accepting(tool, domain);

	if (code != VA_SUCCESS)
		return code;
	vqmail_tell_send(tool);
	return vqmail_unassign(tool, domain) == -1 ? VA_COULD_NOT_UPDATE_FILE
						   : VA_SUCCESS;
}

static enum va_code delete_real(struct vtool *tool, struct vqmail_line *line,
				bool force)
{
	struct view domain = str_view(&line->domain);
	struct vdomaindir d = {
		.dir = str_c(&line->dir),
		.uid = line->uid,
		.gid = line->gid,
	};
	struct str names = { 0 };
	enum va_code code;

	if (vqmail_domains(tool, domain, &names) == -1)
		return VA_COULD_NOT_UPDATE_FILE;
	if (!force && has_aliases(&names, domain)) {
		warn_of_aliases(&names, domain);
		return VA_SUCCESS;
	}
	code = stop_accepting(tool, domain);
	if (code == VA_SUCCESS) {
		vqmail_tell_send(tool);
		code = vdomaindir_remove(&d);
	}
	if (code == VA_SUCCESS)
		code = unassign_all(tool, &names, domain);
	str_free(&names);
	return code;
}

static enum va_code delete_domain(struct vtool *tool, struct view domain,
				  bool force)
{
	struct vqmail_line line = { 0 };
	enum va_code code;

	switch (vqmail_assigned(tool, domain, &line)) {
	case 0:
		return VA_DOMAIN_DOES_NOT_EXIST;
	case 1:
		break;
	default:
		return VA_COULD_NOT_UPDATE_FILE;
	}
	if (view_eq_nocase(str_view(&line.real), domain))
		code = delete_real(tool, &line, force);
	else
		code = delete_alias(tool, domain);
	vqmail_line_free(&line);
	return code;
}

int main(int argc, char **argv)
{
	struct str domain = { 0 };
	struct vtool tool;
	bool force = false;
	enum va_code code;
	int opt;

	if (argc < 2)
		vexit_usage(usage, 0);
	vtool_init(&tool, "vdeldomain");
	while ((opt = getopt(argc, argv, "vf")) != -1) {
		if (opt == 'v')
			vtool_version();
		else if (opt == 'f')
			force = true;
		else
			vexit_usage(usage, 255);
	}
	if (optind >= argc)
		vexit_usage(usage, 0);
	vtool_domain_name(argv[optind], &domain);
	if (vqmail_lock(&tool) == -1)
		vexit_error(VA_COULD_NOT_UPDATE_FILE);
	code = delete_domain(&tool, str_view(&domain), force);
	if (code != VA_SUCCESS)
		vexit_error(code);
	vexit(VA_SUCCESS);
}
