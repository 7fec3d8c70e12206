/*
 * vchkpw - check a password against a virtual domain, become the mailbox's
 * owner and run a program.
 *
 * started by  qmail-popup and others that speak checkpassword's interface
 * runs as     root, then the owner of the domain; in an instance with one
 *             uid, that one
 * fds         3 user, password and challenge; the others pass through
 * exits       the program's; EXIT_NO for a wrong name or password or a
 *             service the account may not use; EXIT_MISUSED; 11 without
 *             descriptor 3, 12 without a name, 13 without a password;
 *             EXIT_RETRY for trouble
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "auth/credentials.h"
#include "auth/vaccount.h"
#include "lib/allow.h"
#include "lib/control.h"
#include "lib/die.h"
#include "lib/home.h"
#include "lib/ids.h"
#include "lib/out.h"
#include "lib/password.h"
#include "lib/sig.h"

enum {
	EXIT_NO = 1, /* vpopmail says 3 for some of these; callers read 1 */
	EXIT_MISUSED = 2,
	EXIT_NO_FD = 11,
	EXIT_NO_NAME = 12,
	EXIT_NO_PASSWORD = 13,
};

enum service {
	SERVICE_POP,
	SERVICE_SMTP,
	SERVICE_IMAP,
};

struct check {
	int homefd;
	enum service service;
	struct credentials given;
	struct vaccount account;
};

static enum service service_of_port(const char *port)
{
	static const struct {
		const char *port;
		enum service service;
	} ports[] = {
		{ "25", SERVICE_SMTP },  { "465", SERVICE_SMTP },
		{ "587", SERVICE_SMTP }, { "143", SERVICE_IMAP },
		{ "993", SERVICE_IMAP },
	};

	for (size_t i = 0; port && i < COUNT_OF(ports); i++)
		if (!strcmp(port, ports[i].port))
			return ports[i].service;
	return SERVICE_POP;
}

static uint64_t forbidding_flag(enum service service)
{
	switch (service) {
	case SERVICE_POP:
		return VPASSWD_NO_POP;
	case SERVICE_SMTP:
		return VPASSWD_NO_SMTP;
	case SERVICE_IMAP:
		return VPASSWD_NO_IMAP;
	}
	return 0;
}

static void read_credentials(struct credentials *given)
{
	switch (credentials_read(given)) {
	case CREDENTIALS_OK:
		break;
	case CREDENTIALS_BAD:
		exit(EXIT_NO_NAME);
	case CREDENTIALS_ERROR:
		if (errno == EBADF)
			exit(EXIT_NO_FD);
		die_errno(EXIT_RETRY, "cannot read descriptor 3");
	}
	if (given->user.len == 0)
		exit(EXIT_NO_NAME);
	if (given->password.len == 0)
		exit(EXIT_NO_PASSWORD);
}

/* APOP or CRAM-MD5, where a clear password is stored. */
static bool answers_challenge(const struct check *c)
{
	const struct credentials *given = &c->given;
	struct view clear = c->account.record.clear;

	if (clear.len == 0 || given->challenge.len == 0)
		return false;
	if (c->service == SERVICE_SMTP)
		return password_cram(clear, given->password, given->challenge);
	return password_apop(clear, given->challenge, given->password);
}

/*
 * Whatever is wrong, a hash is computed, so that time does not tell whether
 * there is such an account.
 */
static bool password_is_right(struct check *c, bool known)
{
	struct view hash = known ? c->account.record.crypt : VIEW("");
	bool right = known && answers_challenge(c);

	if (right)
		return true;
	switch (password_check(hash, c->given.password)) {
	case PASSWORD_RIGHT:
		return known && c->account.record.uid != VPASSWD_UID_APOP;
	case PASSWORD_WRONG:
		return false;
	case PASSWORD_ERROR:
		break;
	}
	die_errno(EXIT_RETRY, "cannot check the password");
}

static bool find_account(struct check *c)
{
	switch (vaccount_find(c->homefd, c->given.user, &c->account)) {
	case VACCOUNT_FOUND:
		return true;
	case VACCOUNT_UNKNOWN:
		return false;
	case VACCOUNT_ERROR:
		break;
	}
	die_errno(EXIT_RETRY, "cannot look up %.*s", (int)c->given.user.len,
		  c->given.user.p);
}

/* root trusts users/cdb and vpasswd.cdb only as far as root's list goes. */
static void check_allowed(struct check *c)
{
	struct vdomain *domain = &c->account.domain;
	struct view home = c->account.record.dir;
	struct control_list list = { 0 };

	if (geteuid() != 0)
		return;
	switch (allow_load(c->homefd, &list)) {
	case CONTROL_OK:
		break;
	case CONTROL_ABSENT:
		die(EXIT_RETRY, "there is no control/deliveryids");
	case CONTROL_ERROR:
		die_errno(EXIT_RETRY, "cannot use control/deliveryids");
	}
	if (!allow_ids(&list, domain->uid, domain->gid))
		die(EXIT_RETRY, "uid %ld gid %ld is not in control/deliveryids",
		    (long)domain->uid, (long)domain->gid);
	if (!allow_home(&list, home))
		die(EXIT_RETRY, "%.*s is not in control/deliveryids",
		    (int)home.len, home.p);
	control_list_free(&list);
}

static void set_variable(const char *name, struct view value)
{
	struct str text = { 0 };

	str_set(&text, value);
	if (setenv(name, str_c(&text), 1) == -1)
		die_errno(EXIT_RETRY, "cannot set %s", name);
	str_free(&text);
}

static void set_environment(struct check *c)
{
	struct str full = { 0 };

	str_append(&full, str_view(&c->account.user));
	str_append_byte(&full, '@');
	str_append(&full, str_view(&c->account.domain_name));
	set_variable("USER", str_view(&c->account.user));
	set_variable("HOME", c->account.record.dir);
	/* vpopmail's place for the quota; qmail-pop3d's siblings read it. */
	set_variable("SHELL", c->account.record.quota);
	set_variable("VPOPUSER", str_view(&full));
	str_free(&full);
}

static void enter_home(struct check *c)
{
	struct vdomain *domain = &c->account.domain;
	struct str home = { 0 };

	if (geteuid() == 0 || c->service != SERVICE_SMTP)
		if (ids_become(domain->uid, domain->gid) == -1)
			die_errno(EXIT_RETRY, "cannot become uid %ld gid %ld",
				  (long)domain->uid, (long)domain->gid);
	if (c->service == SERVICE_SMTP)
		return;
	str_set(&home, c->account.record.dir);
	if (chdir(str_c(&home)) == -1)
		die_errno(EXIT_RETRY, "cannot change directory to %s",
			  str_c(&home));
	str_free(&home);
}

/* When, and from where: its failure keeps nobody from his mail. */
static void note_login(enum service service)
{
	const char *ip = getenv("TCPREMOTEIP");
	int fd;

	if (service == SERVICE_SMTP)
		return;
	fd = open("lastauth",
		  O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK |
			  O_CLOEXEC,
		  0600);
	if (fd == -1 || write_all(fd, view_of(ip ? ip : "unknown")) == -1)
		warn_errno("cannot write lastauth");
	if (fd != -1)
		close(fd);
}

int main(int argc, char **argv)
{
	struct check c = { 0 };
	bool known;

	die_name("vchkpw");
	if (argc < 2)
		die(EXIT_MISUSED, "usage: vchkpw program [ arg ... ]");
	sig_ignore_write_signals();
	c.service = service_of_port(getenv("TCPLOCALPORT"));
	read_credentials(&c.given);
	c.homefd = home_open();
	if (c.homefd == -1)
		die_errno(EXIT_RETRY, "cannot open the mail system's home");
	known = find_account(&c);
	if (!password_is_right(&c, known))
		exit(EXIT_NO);
	credentials_wipe(&c.given);
	if (c.account.record.gid & forbidding_flag(c.service))
		exit(EXIT_NO);
	check_allowed(&c);
	set_environment(&c);
	enter_home(&c);
	note_login(c.service);
	vaccount_free(&c.account);
	close(c.homefd);
	sig_reset_all();
	execvp(argv[1], argv + 1);
	die_errno(EXIT_RETRY, "cannot run %s", argv[1]);
}
