#include "local/vdeliver.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/control.h"
#include "lib/maildirsize.h"
#include "lib/message.h"
#include "lib/vpasswd.h"
#include "lib/vquota.h"
#include "local/dotqmail.h"
#include "local/forwarding.h"
#include "local/maildrop.h"
#include "local/mbox.h"
#include "local/program.h"

#define COMMANDS_MAX_BYTES ((size_t)1024 * 1024)
#define TEXT_MAX_BYTES 1500

/* ---- what the sender is told ---- */

/*
 * Fail with the text of a file that the site has written: in the domain's
 * directory, or above it for all domains; else with ours.
 */
static int fail_with(struct vdeliver *v, const char *file, const char *ours)
{
	struct str above = { 0 };
	struct str text = { 0 };
	enum control_result got;

	got = control_read(AT_FDCWD, file, &text, TEXT_MAX_BYTES);
	if (got == CONTROL_ABSENT) {
		str_appendf(&above, "../%s", file);
		got = control_read(AT_FDCWD, str_c(&above), &text,
				   TEXT_MAX_BYTES);
	}
	if (got != CONTROL_OK || text.len == 0)
		str_set_c(&text, ours);
	verdict_fail(&v->verdict, "%s", str_c(&text));
	str_free(&above);
	str_free(&text);
	return -1;
}

/* ---- a Maildir ---- */

/*
 * What tells two deliveries of one job to one Maildir apart: our line of
 * .qmail-default, which no other can have, then that of the account's .qmail.
 */
static size_t name_line(const struct vdeliver *v, size_t line)
{
	size_t ours = v->line ? v->line : 1;

	return line == 1 ? ours : ours << 32 | line;
}

static uint64_t delivered_size(const struct vdeliver *v)
{
	return v->job->size + v->shown.rpline.len + v->shown.dtline.len;
}

/* Is there room? 0, or -1 with the verdict. */
static int check_quota(struct vdeliver *v, int fd, const struct vquota *quota)
{
	switch (maildirsize_room(fd, quota, delivered_size(v))) {
	case MAILDIRSIZE_FITS:
		return 0;
	case MAILDIRSIZE_FULL:
		return fail_with(v, ".over-quota.msg",
				 "user is over quota (#5.2.2)");
	case MAILDIRSIZE_ERROR:
		break;
	}
	return verdict_defer(&v->verdict,
			     "Unable to count the mailbox: %s. (#4.3.0)",
			     strerror(errno));
}

/* quota may be NULL. */
static int deliver_maildir(struct vdeliver *v, const char *path, size_t line,
			   const struct vquota *quota)
{
	int fd = -1;
	int result = 0;

	if (quota && (quota->bytes || quota->messages)) {
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd == -1)
			return verdict_defer(
				&v->verdict,
				"Unable to open the mailbox: %s. (#4.2.1)",
				strerror(errno));
		result = check_quota(v, fd, quota);
	}
	if (result == 0)
		result = maildrop_deliver(&v->verdict, path, v->job,
					  name_line(v, line), &v->shown);
	if (fd != -1) {
		if (result == 0)
			maildirsize_add(fd, (int64_t)delivered_size(v), 1);
		close(fd);
	}
	return result;
}

/* ---- an account ---- */

struct account {
	struct str dir;
	struct str maildir;
	struct vquota quota;
	struct str commands; /* of its .qmail */
};

static void account_free(struct account *a)
{
	str_free(&a->dir);
	str_free(&a->maildir);
	str_free(&a->commands);
}

static int read_commands(struct vdeliver *v, struct account *a,
			 const char *path)
{
	struct stat st;

	switch (control_read(AT_FDCWD, path, &a->commands,
			     COMMANDS_MAX_BYTES)) {
	case CONTROL_OK:
		break;
	case CONTROL_ABSENT:
		return 0;
	case CONTROL_ERROR:
		return verdict_defer(&v->verdict,
				     "Unable to read .qmail: %s. (#4.3.0)",
				     strerror(errno));
	}
	if (stat(path, &st) == -1)
		return verdict_defer(&v->verdict,
				     "Unable to stat .qmail: %s. (#4.3.0)",
				     strerror(errno));
	if (st.st_mode & CONF_PATRN)
		return verdict_defer(
			&v->verdict,
			"Uh-oh: .qmail file is writable. (#4.7.0)");
	return 0;
}

static bool is_own_maildir(struct account *a, struct view path)
{
	while (view_ends(path, VIEW("/")))
		path = view_first(path, path.len - 1);
	return view_eq(path, VIEW("./Maildir")) ||
	       view_eq(path, str_view(&a->maildir));
}

/* Without a slash at its end a directory is a Maildir too, to vpopmail. */
static int deliver_path(struct vdeliver *v, struct account *a,
			const struct dotqmail_line *line)
{
	struct str path = { 0 };
	struct stat st;
	int result;

	str_set(&path, line->text);
	if (line->kind == DOTQMAIL_MBOX &&
	    (stat(str_c(&path), &st) == -1 || !S_ISDIR(st.st_mode)))
		result = mbox_deliver(&v->verdict, str_c(&path), v->job,
				      &v->shown);
	else
		result = deliver_maildir(
			v, str_c(&path), line->number,
			is_own_maildir(a, line->text) ? &a->quota : NULL);
	str_free(&path);
	return result;
}

static int obey_line(struct vdeliver *v, struct account *a,
		     const struct dotqmail_line *line)
{
	switch (line->kind) {
	case DOTQMAIL_BLANK:
	case DOTQMAIL_COMMENT:
	case DOTQMAIL_LIST:
	case DOTQMAIL_UNKNOWN:
		return 0;
	case DOTQMAIL_MAILDIR:
	case DOTQMAIL_MBOX:
		return deliver_path(v, a, line);
	case DOTQMAIL_FORWARD:
		str_append(&v->addresses, line->text);
		str_append_byte(&v->addresses, '\0');
		return 0;
	case DOTQMAIL_PROGRAM:
		break;
	}
	v->ran_program = true;
	switch (program_run(&v->verdict, line->text, v->job, v->signals)) {
	case PROGRAM_DONE:
		return 0;
	case PROGRAM_DONE_STOP:
		v->stop = true;
		return 0;
	case PROGRAM_ENDED:
		return -1;
	}
	return -1;
}

/* Does it hold anything but comments and blank lines? */
static bool has_instructions(struct view commands)
{
	struct dotqmail lines;
	struct dotqmail_line line;

	dotqmail_init(&lines, commands);
	while (dotqmail_next(&lines, &line))
		if (line.kind != DOTQMAIL_BLANK &&
		    line.kind != DOTQMAIL_COMMENT)
			return true;
	return false;
}

static int send_forwards(struct vdeliver *v)
{
	uint64_t qp;

	if (v->addresses.len == 0)
		return 0;
	return forwarding_send(&v->verdict, v->job, v->envelope,
			       v->forward_from, str_view(&v->addresses), &qp);
}

/* As qmail-local does: in order, forwards last and all at once. */
static int obey(struct vdeliver *v, struct account *a)
{
	struct dotqmail lines;
	struct dotqmail_line line;

	if (chdir(str_c(&a->dir)) == -1)
		return verdict_defer(&v->verdict,
				     "Unable to switch to %s: %s. (#4.3.0)",
				     str_c(&a->dir), strerror(errno));
	v->moved = true;
	dotqmail_init(&lines, str_view(&a->commands));
	while (!v->stop && dotqmail_next(&lines, &line))
		if (obey_line(v, a, &line) == -1)
			return -1;
	return send_forwards(v);
}

static int deliver_account(struct vdeliver *v,
			   const struct vpasswd_record *record)
{
	struct account a = { 0 };
	struct str path = { 0 };
	int result;

	if (record->gid & VPASSWD_BOUNCE_MAIL)
		return verdict_fail(
			&v->verdict,
			"account is locked, mail bounced. (#5.2.1)");
	if (vquota_parse(record->quota, &a.quota) == -1)
		return verdict_defer(&v->verdict,
				     "The account's quota makes no sense. "
				     "(#4.3.5)");
	str_set(&a.dir, record->dir);
	str_append(&a.maildir, record->dir);
	str_append(&a.maildir, VIEW("/Maildir"));
	str_append(&path, record->dir);
	str_append(&path, VIEW("/.qmail"));
	result = read_commands(v, &a, str_c(&path));
	if (result == 0 && has_instructions(str_view(&a.commands)))
		result = obey(v, &a);
	else if (result == 0)
		result = deliver_maildir(v, str_c(&a.maildir), 1, &a.quota);
	str_free(&path);
	account_free(&a);
	return result;
}

/* ---- nobody's mail ---- */

/* A path is a Maildir, or the directory of a user with one in it. */
static int fall_to_path(struct vdeliver *v)
{
	struct view given = view_of(v->fallback);
	struct str path = { 0 };
	int result;

	while (given.len > 1 && view_ends(given, VIEW("/")))
		given = view_first(given, given.len - 1);
	str_append(&path, given);
	if (!view_ends(given, VIEW("/Maildir")))
		str_append(&path, VIEW("/Maildir"));
	result = deliver_maildir(v, str_c(&path), 1, NULL);
	str_free(&path);
	return result;
}

static int fall_back(struct vdeliver *v)
{
	struct view what = view_of(v->fallback);

	if (view_eq(what, VIEW("delete")))
		return 0;
	if (view_eq(what, VIEW("bounce-no-mailbox")))
		return fail_with(
			v, ".no-user.msg",
			"Sorry, no mailbox here by that name. (#5.1.1)");
	if (view_starts(what, VIEW("/")) || view_starts(what, VIEW("./")))
		return fall_to_path(v);
	if (view_has(what, '@')) {
		str_append(&v->addresses, what);
		str_append_byte(&v->addresses, '\0');
		return send_forwards(v);
	}
	return verdict_defer(&v->verdict,
			     "vdelivermail: cannot understand the instruction "
			     "%s. (#4.3.5)",
			     v->fallback);
}

/* ---- all of it ---- */

/*
 * The lines for mailboxes. vpopmail shows the user's address there, not the
 * one with the domain prepended that qmail-local knows him by.
 */
static void show_lines(struct vdeliver *v, struct view user, struct view domain)
{
	str_set(&v->shown.rpline, str_view(&v->envelope->rpline));
	str_set(&v->shown.ufline, str_view(&v->envelope->ufline));
	str_reset(&v->shown.dtline);
	if (v->envelope->dtline.len == 0)
		return;
	str_append(&v->shown.dtline, VIEW("Delivered-To: "));
	str_append(&v->shown.dtline, user);
	str_append_byte(&v->shown.dtline, '@');
	str_append(&v->shown.dtline, domain);
	str_append_byte(&v->shown.dtline, '\n');
	for (size_t i = 0; i + 1 < v->shown.dtline.len; i++)
		if (v->shown.dtline.p[i] == '\n')
			v->shown.dtline.p[i] = '_';
}

static int check_header(struct vdeliver *v, struct view line)
{
	switch (message_header_has(v->job, line)) {
	case 0:
		return 0;
	case 1:
		return verdict_fail(&v->verdict,
				    "mail is looping: it already has my "
				    "Delivered-To line. (#5.4.6)");
	default:
		return verdict_defer(&v->verdict,
				     "Unable to read message: %s. (#4.3.0)",
				     strerror(errno));
	}
}

static int check_loop(struct vdeliver *v, struct view user, struct view domain)
{
	struct view ours = str_view(&v->envelope->dtline);
	struct str line = { 0 };
	int result;

	str_append(&line, VIEW("Delivered-To: "));
	str_append(&line, user);
	str_append_byte(&line, '@');
	str_append(&line, domain);
	result = check_header(v, str_view(&line));
	str_free(&line);
	if (result == 0 && ours.len && !v->is_checked)
		result = check_header(v, view_first(ours, ours.len - 1));
	return result;
}

static enum vpasswd_result find_name(struct vdeliver *v, struct view name,
				     struct str *space,
				     struct vpasswd_record *record)
{
	if (v->accounts)
		return vpasswd_table_find(v->accounts, AT_FDCWD, name, space,
					  record);
	return vpasswd_find(AT_FDCWD, name, space, record);
}

/* The account of that name, else the one before the first dash. */
static enum vpasswd_result find(struct vdeliver *v, struct view user,
				struct str *space,
				struct vpasswd_record *record)
{
	enum vpasswd_result result = VPASSWD_MISSING;
	size_t dash = view_find(user, '-');

	if (user.len)
		result = find_name(v, user, space, record);
	if (result == VPASSWD_MISSING && dash > 0 && dash < user.len)
		result = find_name(v, view_first(user, dash), space, record);
	return result;
}

static int run(struct vdeliver *v, struct view user, struct view domain)
{
	struct vpasswd_record record;
	struct str space = { 0 };
	int result = check_loop(v, user, domain);

	if (result == -1)
		return -1;
	switch (find(v, user, &space, &record)) {
	case VPASSWD_FOUND:
		result = deliver_account(v, &record);
		break;
	case VPASSWD_MISSING:
		result = fall_back(v);
		break;
	case VPASSWD_ERROR:
		result = verdict_defer(&v->verdict,
				       "Unable to read vpasswd.cdb: %s. "
				       "(#4.3.0)",
				       strerror(errno));
		break;
	}
	str_wipe(&space);
	return result;
}

static struct view variable(const char *name)
{
	return view_of(getenv(name));
}

void vdeliver_environment(struct vdeliver *v, struct job *job,
			  struct envelope *envelope)
{
	job->ext = variable("EXT");
	job->domain = variable("HOST");
	job->sender = variable("SENDER");
	v->forward_from =
		getenv("NEWSENDER") ? variable("NEWSENDER") : job->sender;
	str_set(&envelope->rpline, variable("RPLINE"));
	str_set(&envelope->dtline, variable("DTLINE"));
}

void vdeliver_run(struct vdeliver *v)
{
	struct str user = { 0 };
	struct str domain = { 0 };

	v->verdict.outcome = JOB_DELIVERED;
	str_set(&user, v->job->ext);
	str_lower(&user);
	str_set(&domain, v->job->domain);
	str_lower(&domain);
	show_lines(v, str_view(&user), str_view(&domain));
	/* A step that failed has said so in the verdict. */
	if (run(v, str_view(&user), str_view(&domain)) == -1)
		assert(v->verdict.outcome != JOB_DELIVERED);
	str_free(&user);
	str_free(&domain);
}

void vdeliver_free(struct vdeliver *v)
{
	str_free(&v->verdict.text);
	str_free(&v->addresses);
	envelope_free(&v->shown);
}
