/*
 * vadddomain - add a virtual domain with its postmaster.
 *
 * started by  an administrator, or a script of his
 * runs as     root; a child that becomes the domain's owner makes its files.
 *             In an instance with one uid: that uid
 * fds         0 the password when none was given, 1 errors of vpopmail's,
 *             2 details
 * exits       0, or 256 plus vpopmail's code (vexit.h)
 *
 * The order: the directory with everything in it, users/assign, then
 * virtualdomains and qmail-send, and rcpthosts last. So mail is accepted
 * only when it can be delivered, and an interrupted run may be repeated.
 */
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/password.h"
#include "lib/vname.h"
#include "lib/vpasswd.h"
#include "lib/vquota.h"
#include "tools/vpopmail/vdomaindir.h"
#include "tools/vpopmail/vexit.h"
#include "tools/vpopmail/vprompt.h"
#include "tools/vpopmail/vqmail.h"
#include "tools/vpopmail/vtool.h"

#define DIR_MAX_BYTES 160
#define RANDOM_MAX 128

static const char usage[] =
	"vadddomain: usage: vadddomain [options] virtual_domain "
	"[postmaster password]\n"
	"options: -v prints the version\n"
	"         -q quota_in_bytes (sets the quota for postmaster account)\n"
	"         -b (bounces all mail that doesn't match a user, default)\n"
	"         -e email_address (forwards all non matching user to this "
	"address [*])\n"
	"         -u user (sets the uid/gid based on a user in /etc/passwd)\n"
	"         -d dir (sets the dir to use for this domain)\n"
	"         -i uid (sets the uid to use for this domain)\n"
	"         -g gid (sets the gid to use for this domain)\n"
	"         -O optimize adding, for bulk adds set this for all\n"
	"            except the last one\n"
	"         -r[len] (generate a len (default 8) char random postmaster "
	"password)\n"
	"\n"
	" [*] omit @-sign to deliver directly into user's Maildir: '-e "
	"postmaster'\n";

struct options {
	struct str domain;
	struct str password;
	struct view quota;
	const char *catchall;
	const char *user;
	const char *base;
	bool has_uid;
	bool has_gid;
	uint64_t uid;
	uint64_t gid;
	bool quiet; /* -O: tell nobody yet */
};

static uint64_t parse_id(const char *arg)
{
	uint64_t id;

	if (!view_u64(view_of(arg), &id) || id >= UINT32_MAX)
		vexit_usage(usage, 255);
	return id;
}

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

	while ((opt = getopt(argc, argv, "vbOq:e:u:d:i:g:r::")) != -1) {
		switch (opt) {
		case 'v':
			vtool_version();
			break;
		case 'b':
			o->catchall = NULL;
			break;
		case 'O':
			o->quiet = true;
			break;
		case 'q':
			o->quota = view_of(optarg);
			break;
		case 'e':
			o->catchall = optarg;
			break;
		case 'u':
			o->user = optarg;
			break;
		case 'd':
			o->base = optarg;
			break;
		case 'i':
			o->uid = parse_id(optarg);
			o->has_uid = true;
			break;
		case 'g':
			o->gid = parse_id(optarg);
			o->has_gid = true;
			break;
		case 'r':
			make_random(o, optarg);
			break;
		default:
			vexit_usage(usage, 255);
		}
	}
	if (optind >= argc)
		vexit_usage(usage, 0);
	vtool_domain_name(argv[optind], &o->domain);
	if (optind + 1 < argc && !o->password.len)
		str_set_c(&o->password, argv[optind + 1]);
}

/* Who owns the domain, and below which directory: -u, -i, -g, -d, or ours. */
static void resolve(struct vtool *tool, struct options *o, struct vdomaindir *d)
{
	uid_t uid;
	gid_t gid;

	d->base = str_c(&tool->vhome);
	if (ids_user(&tool->ids, "vpopmail", &uid, &gid) == -1) {
		warn("users/ids does not say who vpopmail is");
		vexit_error(VA_BAD_UID);
	}
	if (o->user) {
		struct passwd *pw = getpwnam(o->user);

		if (pw) {
			uid = pw->pw_uid;
			gid = pw->pw_gid;
			d->base = pw->pw_dir;
		} else {
			warn("no such user: %s", o->user);
			vexit_error(VA_BAD_UID);
		}
	}
	if (o->base)
		d->base = o->base;
	d->uid = o->has_uid ? (uid_t)o->uid : uid;
	d->gid = o->has_gid ? (gid_t)o->gid : gid;
}

/* Paths and commands go into files with colons and line ends. */
static void make_dir_path(struct options *o, const struct vdomaindir *d,
			  struct str *dir)
{
	str_appendf(dir, "%s/domains/%s", d->base, str_c(&o->domain));
	if (dir->len > DIR_MAX_BYTES)
		vexit_error(VA_DIR_TOO_LONG);
	if (dir->p[0] != '/' || !vpasswd_is_field(str_view(dir))) {
		warn("not an absolute path without colons: %s", str_c(dir));
		vexit_error(VA_BAD_CHAR);
	}
}

static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || view_has(VIEW("/._-+@="), c);
}

/* As the shell wants it: quoted only if need be. */
static void append_word(struct str *to, struct view word)
{
	bool plain = word.len > 0;

	for (size_t i = 0; i < word.len; i++)
		plain = plain && is_plain(word.p[i]);
	if (plain) {
		str_append(to, word);
		return;
	}
	str_append_byte(to, '\'');
	for (size_t i = 0; i < word.len; i++) {
		if (word.p[i] == '\'')
			str_append(to, VIEW("'\\'"));
		str_append_byte(to, word.p[i]);
	}
	str_append_byte(to, '\'');
}

/* -e: an address, a path, or a user of this domain. */
static void append_catchall(struct options *o, const char *dir,
			    struct str *word)
{
	struct view to = view_of(o->catchall);
	struct str name = { 0 };
	struct view user;
	struct view domain;

	if (view_starts(to, VIEW("/"))) {
		str_append(word, to);
		return;
	}
	vname_split(to, &user, &domain);
	if (vname_user(user, &name) != VNAME_OK)
		vexit_error(VA_ILLEGAL_USERNAME);
	if (domain.p) {
		str_append(word, str_view(&name));
		vtool_domain_name(domain.p, &name);
		str_append_byte(word, '@');
		str_append(word, str_view(&name));
	} else {
		str_appendf(word, "%s/%s", dir, str_c(&name));
	}
	str_free(&name);
}

static void make_command(struct vtool *tool, struct options *o, const char *dir,
			 struct str *command)
{
	struct str word = { 0 };

	str_append(command, VIEW("| "));
	str_appendf(&word, "%s/bin/vdelivermail", str_c(&tool->vhome));
	append_word(command, str_view(&word));
	str_append(command, VIEW(" '' "));
	str_reset(&word);
	if (o->catchall)
		append_catchall(o, dir, &word);
	else
		str_append(&word, VIEW("bounce-no-mailbox"));
	append_word(command, str_view(&word));
	str_free(&word);
}

/* Is the domain there already, or somebody else's? */
static void refuse_existing(struct vtool *tool, struct options *o)
{
	struct vqmail_line line = { 0 };

	switch (vqmail_assigned(tool, str_view(&o->domain), &line)) {
	case 0:
		break;
	case 1:
		if (!vdomaindir_is_marked(str_c(&line.dir)))
			vexit_error(VA_DOMAIN_ALREADY_EXISTS);
		break;
	default:
		vexit_error(VA_COULD_NOT_UPDATE_FILE);
	}
	vqmail_line_free(&line);
	switch (vqmail_taken(tool, str_view(&o->domain))) {
	case 0:
		return;
	case 1:
		vexit_error(VA_DOMAIN_ALREADY_EXISTS);
	default:
		vexit_error(VA_COULD_NOT_UPDATE_FILE);
	}
}

static enum va_code tell_qmail(struct vtool *tool, struct options *o,
			       const struct vdomaindir *d)
{
	struct view domain = str_view(&o->domain);
	struct vqmail_line line = { .uid = d->uid, .gid = d->gid };
	int result;

	str_set(&line.domain, domain);
	str_set(&line.real, domain);
	str_set_c(&line.dir, d->dir);
	result = vqmail_assign(tool, &line);
	vqmail_line_free(&line);
	if (result == -1 || vqmail_route(tool, domain) == -1)
		return VA_COULD_NOT_UPDATE_FILE;
	if (!o->quiet)
		vqmail_tell_send(tool);
	if (vqmail_accept(tool, domain, !o->quiet) == -1)
		return VA_COULD_NOT_UPDATE_FILE;
	return VA_SUCCESS;
}

static enum va_code add_domain(struct vtool *tool, struct options *o)
{
	struct vuser postmaster = {
		.name = VIEW("postmaster"),
		.gecos = VIEW("Postmaster"),
		.password = str_view(&o->password),
		.store_clear = vtool_stores_clear(tool),
		.quota = o->quota,
	};
	struct str dir = { 0 };
	struct str command = { 0 };
	struct vdomaindir d = {
		.domain = str_c(&o->domain),
		.postmaster = &postmaster,
	};
	enum va_code code;

	resolve(tool, o, &d);
	make_dir_path(o, &d, &dir);
	make_command(tool, o, str_c(&dir), &command);
	d.dir = str_c(&dir);
	d.command = str_c(&command);
	code = vdomaindir_make(&d);
	if (code == VA_SUCCESS)
		code = tell_qmail(tool, o, &d);
	if (code == VA_SUCCESS)
		code = vdomaindir_finish(&d);
	str_free(&dir);
	str_free(&command);
	return code;
}

int main(int argc, char **argv)
{
	struct options o = { 0 };
	struct vtool tool;
	struct vquota quota;
	enum va_code code;

	if (argc < 2)
		vexit_usage(usage, 0);
	vtool_init(&tool, "vadddomain");
	parse(&o, argc, argv);
	if (vquota_parse(o.quota, &quota) == -1)
		vexit_error(VA_BAD_CHAR);
	if (!o.password.len && vprompt_password("postmaster", &o.password))
		vexit_error(VA_PASSWD_TOO_LONG);
	vtool_check_password(str_view(&o.password));
	if (vqmail_lock(&tool) == -1)
		vexit_error(VA_COULD_NOT_UPDATE_FILE);
	refuse_existing(&tool, &o);
	code = add_domain(&tool, &o);
	str_wipe(&o.password);
	if (code != VA_SUCCESS)
		vexit_error(code);
	vexit(VA_SUCCESS);
}
