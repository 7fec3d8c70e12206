/*
 * qmail-getpw - say which user an address belongs to.
 *
 * started by  qmail-lspawn, for an address that users/cdb does not hold
 * runs as     qmailp
 * fds         0 the local part, unless it is an argument: those everybody can
 *             read while the program runs, and a recipient is nobody's business
 *             1 the answer: user, uid, gid, home, dash, ext, a NUL after each
 * exits       EXIT_DONE, GETPW_NFS, GETPW_NOALIAS, EXIT_RETRY when the user
 *             data base cannot be read, EXIT_REJECT for misuse
 *
 * Linked dynamically: the user data base is whatever NSS says.
 */
#include <errno.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/home.h"
#include "lib/ids.h"
#include "lib/out.h"
#include "lspawn/getpw.h"

#define NAME_MAX_BYTES 31 /* qmail's limit: longer names are no users */
#define LOCAL_MAX_BYTES ((size_t)256 * 1024) /* more than any job has */

struct owner {
	struct str user;
	uid_t uid;
	gid_t gid;
	struct str home;
	bool has_dash;
	struct view ext;
};

/* Errors that may go away by themselves. */
static bool is_temporary(int error)
{
	return error != ENOENT && error != ENOTDIR && error != EACCES &&
	       error != ELOOP && error != ENAMETOOLONG;
}

/* The entry of a name, or NULL when there is no such user. */
static const struct passwd *look_up(const char *name)
{
	const struct passwd *pw;

	errno = 0;
	pw = getpwnam(name);
	/* POSIX leaves open what errno is for "not found": these are. */
	if (!pw && errno && errno != ENOENT && errno != ESRCH &&
	    errno != EBADF && errno != EPERM)
		die_errno(EXIT_RETRY, "cannot read the user data base");
	return pw;
}

/* Whether this account takes mail: it owns a home that can be seen. */
static bool takes_mail(const struct ids *ids, const struct passwd *pw)
{
	struct stat st;

	if (pw->pw_uid == 0 || (ids->single && pw->pw_uid != ids->single_uid))
		return false;
	if (stat(pw->pw_dir, &st) == -1) {
		if (is_temporary(errno))
			die_errno(GETPW_NFS, "cannot look at %s", pw->pw_dir);
		return false;
	}
	return st.st_uid == pw->pw_uid;
}

static void take_account(struct owner *owner, const struct passwd *pw)
{
	str_set_c(&owner->user, pw->pw_name);
	str_set_c(&owner->home, pw->pw_dir);
	owner->uid = pw->pw_uid;
	owner->gid = pw->pw_gid;
}

/* Whether the first `len` bytes of local name a user; fills *owner. */
static bool try_name(const struct ids *ids, struct view local, size_t len,
		     struct owner *owner)
{
	struct str name = { 0 };
	const struct passwd *pw = NULL;

	str_append(&name, view_first(local, len));
	str_lower(&name);
	if (name.len <= NAME_MAX_BYTES)
		pw = look_up(str_c(&name));
	str_free(&name);
	if (!pw || !takes_mail(ids, pw))
		return false;
	take_account(owner, pw);
	owner->has_dash = len < local.len;
	owner->ext = view_from(local, owner->has_dash ? len + 1 : len);
	return true;
}

/* `user`, or `user-ext` with the longest user that there is. */
static bool find_user(const struct ids *ids, struct view local,
		      struct owner *owner)
{
	static const char breaks[] = CONF_BREAK;

	for (size_t len = local.len; len > 0; len--)
		if ((len == local.len ||
		     view_has(view_of(breaks), local.p[len])) &&
		    try_name(ids, local, len, owner))
			return true;
	return false;
}

/* Everything else is alias's, whose home is the house's alias/. */
static void take_alias(const struct ids *ids, struct view local,
		       struct owner *owner)
{
	const struct passwd *pw;

	owner->has_dash = true;
	owner->ext = local;
	if (ids_user(ids, "alias", &owner->uid, &owner->gid) == 0) {
		str_set_c(&owner->user, "alias");
		home_path(&owner->home);
		str_append_c(&owner->home, "/alias");
		return;
	}
	pw = look_up("alias");
	if (pw)
		take_account(owner, pw);
	else
		die(GETPW_NOALIAS, "there is no user alias");
}

/* Without users/ids, every name is looked up. */
static void load_ids(struct ids *ids)
{
	int homefd = home_open();

	if (homefd == -1)
		die_errno(EXIT_RETRY, "cannot open the home");
	if (ids_load(ids, homefd) == -1 && errno != ENOENT)
		die_errno(EXIT_RETRY, "cannot read users/ids");
	close(homefd);
}

static void append_field(struct str *to, struct view field)
{
	str_append(to, field);
	str_append_byte(to, '\0');
}

static int print(const struct owner *owner)
{
	struct str text = { 0 };

	append_field(&text, str_view(&owner->user));
	str_append_u64(&text, owner->uid);
	str_append_byte(&text, '\0');
	str_append_u64(&text, owner->gid);
	str_append_byte(&text, '\0');
	append_field(&text, str_view(&owner->home));
	append_field(&text, owner->has_dash ? VIEW("-") : VIEW(""));
	append_field(&text, owner->ext);
	if (write_all(STDOUT_FILENO, str_view(&text)) == -1)
		die_errno(EXIT_RETRY, "cannot answer");
	str_free(&text);
	return EXIT_DONE;
}

/* What descriptor 0 holds, to its end. */
static void read_local(struct str *local)
{
	char space[4096];
	ssize_t got;

	while ((got = read(STDIN_FILENO, space, sizeof(space))) != 0) {
		if (got == -1 && errno == EINTR)
			continue;
		if (got == -1)
			die_errno(EXIT_RETRY, "cannot read the local part");
		str_append(local, view_make(space, (size_t)got));
		if (local->len > LOCAL_MAX_BYTES)
			die(EXIT_REJECT, "the local part is too long");
	}
	if (view_has(str_view(local), '\0'))
		die(EXIT_REJECT, "there is a NUL in the local part");
}

int main(int argc, char **argv)
{
	struct owner owner = { 0 };
	struct ids ids = { 0 };
	struct str local = { 0 };
	int code;

	die_name("qmail-getpw");
	if (argc > 2)
		die(EXIT_REJECT, "usage: qmail-getpw [local]");
	if (argc == 2)
		str_append_c(&local, argv[1]);
	else
		read_local(&local);
	load_ids(&ids);
	if (!find_user(&ids, str_view(&local), &owner))
		take_alias(&ids, str_view(&local), &owner);
	ids_free(&ids);
	code = print(&owner);
	str_free(&local);
	str_free(&owner.user);
	str_free(&owner.home);
	return code;
}
