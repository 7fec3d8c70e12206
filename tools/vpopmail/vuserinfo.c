/*
 * vuserinfo - show a mailbox, or all of a domain.
 *
 * started by  an administrator, or a script of his
 * runs as     root, and becomes the owner of the domain; or as that owner
 * fds         1 what was asked, and errors of vpopmail's; 2 details
 * exits       0, or 256 plus vpopmail's code (vexit.h)
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/control.h"
#include "lib/date.h"
#include "lib/die.h"
#include "lib/maildirsize.h"
#include "lib/vpasswd.h"
#include "lib/vquota.h"
#include "tools/vpopmail/vexit.h"
#include "tools/vpopmail/vfolder.h"
#include "tools/vpopmail/vtool.h"

static const char usage[] =
	"vuserinfo: usage: [options] email_address\n"
	"options: -v (print version number)\n"
	"         -a (display all fields, this is the default)\n"
	"         -n (display name field)\n"
	"         -p (display crypted password)\n"
	"         -u (display uid field)\n"
	"         -g (display gid field)\n"
	"         -c (display comment field)\n"
	"         -d (display directory)\n"
	"         -q (display quota field)\n"
	"         -Q (display quota usage)\n"
	"         -C (display clear text password)\n"
	"         -l (display last authentication time)\n"
	"         -D domainname (show all users on this domain)\n";

/* In the order in which single fields are printed. */
static const char field_letters[] = "npCugcdqQl";

struct options {
	bool wanted[sizeof(field_letters)];
	bool some;          /* not all fields */
	const char *domain; /* of -D */
};

/* ---- fields ---- */

static void print_view(const char *label, struct view value)
{
	fputs(label, stdout);
	if (value.len)
		fwrite(value.p, 1, value.len, stdout);
	putchar('\n');
}

static uint64_t percent_of(uint64_t part, uint64_t whole)
{
	if (whole == 0)
		return 0;
	/* Beyond this, whole is large enough to be divided first. */
	return part < UINT64_MAX / 100 ? part * 100 / whole
				       : part / (whole / 100 + 1);
}

/* `NOQUOTA`, or how full as `12%`. */
static void append_usage(const struct vpasswd_record *record, struct str *to)
{
	struct maildirsize size;
	struct vquota quota;
	struct str path = { 0 };
	int fd;

	if (vquota_parse(record->quota, &quota) == -1 ||
	    (!quota.bytes && !quota.messages)) {
		str_append(to, VIEW("NOQUOTA"));
		return;
	}
	str_append(&path, record->dir);
	str_append(&path, VIEW("/Maildir"));
	fd = open(str_c(&path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1 || maildirsize_usage(fd, &quota, &size) == -1) {
		warn_errno("cannot count %s", str_c(&path));
		str_append(to, VIEW("unknown"));
	} else {
		uint64_t bytes = percent_of(size.bytes, quota.bytes);
		uint64_t messages = percent_of(size.messages, quota.messages);

		str_append_u64(to, bytes > messages ? bytes : messages);
		str_append_byte(to, '%');
	}
	if (fd != -1)
		close(fd);
	str_free(&path);
}

struct lastauth {
	bool known;
	bool used; /* not only created */
	struct str time;
	struct str ip;
};

static void read_lastauth(const struct vpasswd_record *record,
			  struct lastauth *last)
{
	struct str path = { 0 };
	struct stat st;

	*last = (struct lastauth){ 0 };
	str_append(&path, record->dir);
	str_append(&path, VIEW("/" VFOLDER_LASTAUTH));
	if (control_read(AT_FDCWD, str_c(&path), &last->ip, 256) ==
		    CONTROL_OK &&
	    stat(str_c(&path), &st) == 0) {
		last->known = true;
		last->used = !view_eq(str_view(&last->ip), VIEW(VFOLDER_NO_IP));
		date_format_ctime(&last->time, st.st_mtim.tv_sec);
	}
	str_free(&path);
}

static void lastauth_free(struct lastauth *last)
{
	str_free(&last->time);
	str_free(&last->ip);
}

/* ---- all of it ---- */

/* What is closed to the account, as vpopmail 5.4 words it. */
static void print_services(uint64_t flags)
{
	static const struct {
		enum vpasswd_flag flag;
		const char *text;
	} closed[] = {
		{ VPASSWD_NO_PASSWD_CHANGE, "cannot change password" },
		{ VPASSWD_NO_POP, "pop access closed" },
		{ VPASSWD_NO_WEBMAIL, "webmail access closed" },
		{ VPASSWD_NO_IMAP, "imap access closed" },
		{ VPASSWD_NO_SMTP, "smtp access closed" },
		{ VPASSWD_BOUNCE_MAIL, "mail is bounced" },
		{ VPASSWD_NO_RELAY, "relay access closed" },
		{ VPASSWD_NO_DIALUP, "dialup access closed" },
		{ VPASSWD_USER_0, "user flag 0 is set" },
		{ VPASSWD_USER_1, "user flag 1 is set" },
		{ VPASSWD_USER_2, "user flag 2 is set" },
		{ VPASSWD_USER_3, "user flag 3 is set" },
		{ VPASSWD_QA_ADMIN, "has qmailadmin administrator privileges" },
		{ VPASSWD_OVERRIDE, "is not subject to domain limits" },
		{ VPASSWD_NO_SPAMASSASSIN, "spam is not checked" },
		{ VPASSWD_DELETE_SPAM, "spam is deleted" },
		{ VPASSWD_SA_ADMIN, "is spamassassin administrator" },
		{ VPASSWD_SA_EXPERT, "is spamassassin expert" },
		{ VPASSWD_NO_MAILDROP, "maildrop is disabled" },
	};

	if (flags == 0)
		puts("          all services available");
	for (size_t i = 0; i < COUNT_OF(closed); i++)
		if (flags & closed[i].flag)
			printf("          %s\n", closed[i].text);
}

/* The nine lines of 5.4, then what later versions have as well. */
static void print_all(const struct vpasswd_record *record)
{
	struct str usage_text = { 0 };
	struct lastauth last;

	append_usage(record, &usage_text);
	read_lastauth(record, &last);
	print_view("name:    ", record->name);
	print_view("passwd: ", record->crypt);
	print_view("clear passwd: ", record->clear);
	printf("uid:     %llu\n", (unsigned long long)record->uid);
	printf("gid:     %llu\n", (unsigned long long)record->gid);
	print_services(record->gid);
	print_view("dir:     ", record->dir);
	print_view("quota:   ", record->quota);
	print_view("usage:   ", str_view(&usage_text));
	print_view("comment/gecos: ", record->gecos);
	printf("flags:  %llu\n", (unsigned long long)record->gid);
	print_view("gecos: ", record->gecos);
	puts("limits: No user limits set.");
	if (!last.known) {
		puts("last auth: Never logged in");
	} else if (!last.used) {
		print_view("account created: ", str_view(&last.time));
	} else {
		print_view("last auth: ", str_view(&last.time));
		print_view("last auth ip: ", str_view(&last.ip));
	}
	str_free(&usage_text);
	lastauth_free(&last);
}

static void print_field(const struct vpasswd_record *record, char field)
{
	struct str text = { 0 };
	struct lastauth last;

	switch (field) {
	case 'n':
		str_append(&text, record->name);
		break;
	case 'p':
		str_append(&text, record->crypt);
		break;
	case 'C':
		str_append(&text, record->clear);
		break;
	case 'u':
		str_append_u64(&text, record->uid);
		break;
	case 'g':
		str_append_u64(&text, record->gid);
		break;
	case 'c':
		str_append(&text, record->gecos);
		break;
	case 'd':
		str_append(&text, record->dir);
		break;
	case 'q':
		str_append(&text, record->quota);
		break;
	case 'Q':
		append_usage(record, &text);
		break;
	case 'l':
		read_lastauth(record, &last);
		if (last.used)
			str_append(&text, str_view(&last.time));
		else
			str_append(&text, VIEW("Never logged in"));
		lastauth_free(&last);
		break;
	}
	print_view("", str_view(&text));
	str_wipe(&text);
}

static void print_record(const struct options *o,
			 const struct vpasswd_record *record)
{
	if (!o->some) {
		print_all(record);
		return;
	}
	for (size_t i = 0; field_letters[i]; i++)
		if (o->wanted[i])
			print_field(record, field_letters[i]);
}

/* ---- who ---- */

static void show_user(struct vtool *tool, const struct options *o,
		      const char *arg)
{
	struct vaddress address = { 0 };
	struct vdomain domain = { 0 };
	struct vpasswd_record record;
	struct str space = { 0 };
	int fd;

	vtool_lookup_address(arg, &address);
	fd = vtool_enter_domain(tool, str_view(&address.domain), &domain);
	switch (vpasswd_find(fd, str_view(&address.user), &space, &record)) {
	case VPASSWD_FOUND:
		print_record(o, &record);
		break;
	case VPASSWD_MISSING:
		printf("no such user %s@%s\n", str_c(&address.user),
		       str_c(&address.domain));
		vexit((enum va_code) - 1);
	case VPASSWD_ERROR:
		warn_errno("cannot read %s/vpasswd.cdb", str_c(&domain.dir));
		vexit_error(VA_NO_AUTH_CONNECTION);
	}
	close(fd);
	str_wipe(&space);
	str_free(&address.user);
	str_free(&address.domain);
	vdomain_free(&domain);
}

static void show_domain(struct vtool *tool, const struct options *o)
{
	struct str name = { 0 };
	struct vdomain domain = { 0 };
	struct vpasswd_record record;
	struct vpasswd_list list;
	enum vpasswd_result result = VPASSWD_ERROR;
	int fd;

	vtool_domain_name(o->domain, &name);
	fd = vtool_enter_domain(tool, str_view(&name), &domain);
	if (vpasswd_list_begin(&list, fd) == 0) {
		while ((result = vpasswd_list_next(&list, &record)) ==
		       VPASSWD_FOUND) {
			puts("------------------------------------------");
			print_record(o, &record);
		}
		vpasswd_list_end(&list);
	}
	if (result == VPASSWD_ERROR) {
		warn_errno("cannot read %s/vpasswd.cdb", str_c(&domain.dir));
		vexit_error(VA_NO_AUTH_CONNECTION);
	}
	close(fd);
	vdomain_free(&domain);
	str_free(&name);
}

static void parse(struct options *o, int argc, char **argv)
{
	int opt;

	while ((opt = getopt(argc, argv, "vanpugcdqQClD:")) != -1) {
		const char *letter = strchr(field_letters, opt);

		if (opt == 'v') {
			vtool_version();
		} else if (opt == 'a') {
			o->some = false;
		} else if (opt == 'D') {
			o->domain = optarg;
		} else if (letter) {
			o->wanted[letter - field_letters] = true;
			o->some = true;
		} else {
			vexit_usage(usage, 255);
		}
	}
	if (!o->domain && optind >= argc)
		vexit_usage(usage, 255);
}

int main(int argc, char **argv)
{
	struct options o = { 0 };
	struct vtool tool;

	vtool_init(&tool, "vuserinfo");
	parse(&o, argc, argv);
	if (o.domain)
		show_domain(&tool, &o);
	else
		show_user(&tool, &o, argv[optind]);
	vexit(VA_SUCCESS);
}
