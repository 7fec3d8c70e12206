#include "local/deliver.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/control.h"
#include "lib/message.h"
#include "local/dotqmail.h"
#include "local/forwarding.h"
#include "local/maildrop.h"
#include "local/mbox.h"
#include "local/program.h"

#define COMMANDS_MAX_BYTES ((size_t)64 * 1024 * 1024)
#define SEEN_MAX_BYTES 4096 /* of a file that is kept in memory */
#define STICKY 01000

/* ---- the home ---- */

static int go_home(struct deliver *d)
{
	struct str home = { 0 };
	int result = 0;

	str_set(&home, d->job->home);
	if (chdir(str_c(&home)) == -1)
		result = verdict_defer(&d->verdict,
				       "Unable to switch to %s: %s. (#4.3.0)",
				       str_c(&home), strerror(errno));
	str_free(&home);
	return result;
}

static int enter_home(struct deliver *d)
{
	struct verdict *v = &d->verdict;
	struct stat st;

	if (go_home(d) == -1)
		return -1;
	if (stat(".", &st) == -1)
		return verdict_defer(
			v, "Unable to stat home directory: %s. (#4.3.0)",
			strerror(errno));
	if (st.st_mode & CONF_PATRN)
		return verdict_defer(
			v, "Uh-oh: home directory is writable. (#4.7.0)");
	if (!(st.st_mode & STICKY))
		return 0;
	if (!d->dry_run)
		return verdict_defer(v, "Home directory is sticky: user is "
					"editing his .qmail file. (#4.2.1)");
	str_append_c(&v->text, "Warning: home directory is sticky.\n");
	return 0;
}

static int check_loop(struct deliver *d)
{
	struct view line = str_view(&d->envelope.dtline);

	switch (message_header_has(d->job, view_first(line, line.len - 1))) {
	case 0:
		return 0;
	case 1:
		return verdict_fail(&d->verdict,
				    "This message is looping: it already has "
				    "my Delivered-To line. (#5.4.6)");
	default:
		return verdict_defer(&d->verdict,
				     "Unable to read message: %s. (#4.3.0)",
				     strerror(errno));
	}
}

/* ---- the file ---- */

/* Errors that mean there is no such file. */
static bool is_absent(int error)
{
	return error == ENOENT || error == ENOTDIR || error == ENAMETOOLONG;
}

static int cannot_open(struct deliver *d, const char *name)
{
	return verdict_defer(&d->verdict, "Unable to open %s: %s. (#4.3.0)",
			     name, strerror(errno));
}

/* 1 it is the one, 0 there is none of this name, -1 with the verdict. */
static int take_file(struct deliver *d, const char *name, int fd)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return cannot_open(d, name);
	if (!S_ISREG(st.st_mode))
		return 0;
	if (st.st_mode & CONF_PATRN)
		return verdict_defer(
			&d->verdict,
			"Uh-oh: .qmail file is writable. (#4.7.0)");
	d->forward_only = st.st_mode & S_IXUSR;
	d->found = true;
	if (control_read_fd(fd, &d->commands, COMMANDS_MAX_BYTES) != CONTROL_OK)
		return cannot_open(d, name);
	return 1;
}

/* As it was read before, if it is the same file in the same state. */
static bool take_seen(struct deliver *d, const char *name)
{
	struct filemark now;

	if (!d->seen || !view_eq(str_view(&d->seen->name), view_of(name)) ||
	    filemark_look(&now, AT_FDCWD, name) == -1 ||
	    !filemark_is_settled(&d->seen->mark) ||
	    !filemark_same(&d->seen->mark, &now))
		return false;
	d->forward_only = now.mode & S_IXUSR;
	d->found = true;
	str_set(&d->commands, str_view(&d->seen->commands));
	return true;
}

/* before is what it looked like before it was read. */
static void keep_seen(struct deliver *d, const char *name,
		      const struct filemark *before)
{
	if (d->commands.len > SEEN_MAX_BYTES)
		return;
	str_set_c(&d->seen->name, name);
	str_set(&d->seen->commands, str_view(&d->commands));
	d->seen->mark = *before;
}

static int try_file(struct deliver *d, const char *name)
{
	struct filemark before;
	int result;
	int fd;

	if (take_seen(d, name))
		return 1;
	fd = open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (fd == -1)
		return is_absent(errno) ? 0 : cannot_open(d, name);
	if (d->seen)
		filemark_of(&before, fd);
	result = take_file(d, name, fd);
	if (d->seen && result == 1)
		keep_seen(d, name, &before);
	close(fd);
	return result;
}

static int find_file(struct deliver *d)
{
	struct view ext = d->job->ext;
	size_t state = 0;
	size_t matched;

	while (dotqmail_name(d->job->dash, ext, &state, &d->file_name,
			     &matched)) {
		int result = try_file(d, str_c(&d->file_name));

		if (result == -1)
			return -1;
		if (result == 0)
			continue;
		if (matched != SIZE_MAX)
			envelope_export_default(&d->envelope,
						view_from(ext, matched));
		return 0;
	}
	if (d->job->dash.len)
		return verdict_fail(
			&d->verdict,
			"Sorry, no mailbox here by that name. (#5.1.1)");
	return 0;
}

/* Whether a file of this name and suffix exists: 1, 0, or -1. */
static int has_beside(struct deliver *d, const char *suffix)
{
	struct str name = { 0 };
	struct stat st;
	int result = 1;

	str_append(&name, str_view(&d->file_name));
	str_append_c(&name, suffix);
	if (stat(str_c(&name), &st) == -1)
		result = is_absent(errno) ? 0 : cannot_open(d, str_c(&name));
	str_free(&name);
	return result;
}

/* Who forwards come from: the list's owner, or who sent it. */
static int choose_sender(struct deliver *d)
{
	const struct job *job = d->job;
	int owner = 0;
	int each = 0;

	str_set(&d->new_sender, job->sender);
	if (job->sender.len && !view_eq(job->sender, VIEW("#@[]")))
		owner = has_beside(d, "-owner");
	if (owner == 1)
		each = has_beside(d, "-owner-default");
	if (owner == -1 || each == -1)
		return -1;
	if (owner) {
		str_set(&d->new_sender, job->local);
		str_append_c(&d->new_sender, each ? "-owner-@" : "-owner@");
		str_append(&d->new_sender, job->domain);
		str_append_c(&d->new_sender, each ? "-@[]" : "");
	}
	envelope_export_newsender(&d->envelope, str_view(&d->new_sender));
	return 0;
}

/* ---- its lines ---- */

static void say(struct deliver *d, const char *what, struct view text)
{
	str_append_c(&d->verdict.text, what);
	str_append(&d->verdict.text, text);
	str_append_byte(&d->verdict.text, '\n');
}

static int deliver_file(struct deliver *d, const struct dotqmail_line *line)
{
	bool is_maildir = line->kind == DOTQMAIL_MAILDIR;
	struct str path = { 0 };
	int result;

	d->files++;
	if (d->forward_only)
		return verdict_defer(&d->verdict,
				     "Uh-oh: .qmail has file delivery but has "
				     "x bit set. (#4.7.0)");
	if (d->dry_run) {
		say(d, is_maildir ? "maildir " : "mbox ", line->text);
		return 0;
	}
	str_set(&path, line->text);
	if (is_maildir)
		result = maildrop_deliver(&d->verdict, str_c(&path), d->job,
					  line->number, &d->envelope);
	else
		result = mbox_deliver(&d->verdict, str_c(&path), d->job,
				      &d->envelope);
	str_free(&path);
	return result;
}

static enum program_result run_command(struct deliver *d,
				       const struct dotqmail_line *line)
{
	struct view instruction;
	enum program_result result;
	struct vline_after after = { 0 };

	if (!d->vline || !vline_match(d->vline, line->text, &instruction)) {
		d->ran_program = true;
		return program_run(&d->verdict, line->text, d->job, d->signals);
	}
	result = vline_run(&d->verdict, instruction, d->job, line->number,
			   d->signals, d->seen ? &d->seen->accounts : NULL,
			   &after);
	d->ran_program |= after.ran_program;
	if (result == PROGRAM_DONE && after.moved && go_home(d) == -1)
		return PROGRAM_ENDED;
	return result;
}

/* *stop becomes true when the program says that this was all. */
static int deliver_program(struct deliver *d, const struct dotqmail_line *line,
			   bool *stop)
{
	d->programs++;
	if (d->forward_only)
		return verdict_defer(&d->verdict,
				     "Uh-oh: .qmail has prog delivery but has "
				     "x bit set. (#4.7.0)");
	if (d->dry_run) {
		say(d, "program ", line->text);
		return 0;
	}
	switch (run_command(d, line)) {
	case PROGRAM_DONE:
		return 0;
	case PROGRAM_DONE_STOP:
		*stop = true;
		return 0;
	case PROGRAM_ENDED:
		return -1;
	}
	return -1;
}

static void note_forward(struct deliver *d, struct view address)
{
	d->forwards++;
	if (d->dry_run) {
		say(d, "forward ", address);
		return;
	}
	str_append(&d->addresses, address);
	str_append_byte(&d->addresses, '\0');
}

static int obey_line(struct deliver *d, const struct dotqmail_line *line,
		     bool *stop)
{
	switch (line->kind) {
	case DOTQMAIL_BLANK:
		if (line->number > 1)
			return 0;
		return verdict_defer(&d->verdict,
				     "Uh-oh: first line of .qmail file is "
				     "blank. (#4.2.1)");
	case DOTQMAIL_COMMENT:
	case DOTQMAIL_UNKNOWN:
		return 0;
	case DOTQMAIL_LIST:
		d->forward_only = true;
		return 0;
	case DOTQMAIL_MAILDIR:
	case DOTQMAIL_MBOX:
		return deliver_file(d, line);
	case DOTQMAIL_PROGRAM:
		return deliver_program(d, line, stop);
	case DOTQMAIL_FORWARD:
		note_forward(d, line->text);
		return 0;
	}
	return 0;
}

static int obey(struct deliver *d)
{
	struct dotqmail lines;
	struct dotqmail_line line;
	bool stop = false;

	if (d->commands.len == 0) {
		str_set(&d->commands, d->job->default_delivery);
		d->forward_only = false;
	}
	dotqmail_init(&lines, str_view(&d->commands));
	while (!stop && dotqmail_next(&lines, &line))
		if (obey_line(d, &line, &stop) == -1)
			return -1;
	/* All in one transaction, and last: the rest is done by then. */
	if (d->addresses.len)
		return forwarding_send(&d->verdict, d->job, &d->envelope,
				       str_view(&d->new_sender),
				       str_view(&d->addresses), &d->qp);
	return 0;
}

static void say_done(struct deliver *d)
{
	struct str *text = &d->verdict.text;

	str_appendf(text, "did %zu+%zu+%zu\n", d->files, d->forwards,
		    d->programs);
	if (d->qp)
		str_appendf(text, "qp %llu\n", (unsigned long long)d->qp);
}

void deliver_run(struct deliver *d)
{
	d->verdict.outcome = JOB_DELIVERED;
	envelope_format(&d->envelope, d->job, clock_wall_s());
	envelope_export(&d->envelope, d->job);
	if (enter_home(d) == -1 || (!d->dry_run && check_loop(d) == -1) ||
	    find_file(d) == -1 || choose_sender(d) == -1 || obey(d) == -1)
		return;
	say_done(d);
}

void seen_free(struct seen *seen)
{
	str_free(&seen->name);
	str_free(&seen->commands);
	vpasswd_table_free(&seen->accounts);
}

void deliver_free(struct deliver *d)
{
	envelope_free(&d->envelope);
	str_free(&d->verdict.text);
	str_free(&d->file_name);
	str_free(&d->commands);
	str_free(&d->new_sender);
	str_free(&d->addresses);
}
