/*
 * qmail-qread - list the messages in the queue, with their recipients.
 *
 * started by  the administrator
 * runs as     root, or a user that may read and write queue files
 * exits       EXIT_DONE, EXIT_REJECT for misuse, EXIT_RETRY when something
 *             could not be read; the rest is listed all the same
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/address.h"
#include "lib/date.h"
#include "lib/die.h"
#include "lib/home.h"
#include "lib/out.h"
#include "lib/qfile.h"
#include "lib/qformat.h"
#include "lib/rewrite.h"
#include "queue/logwalk.h"
#include "queue/walk.h"

struct reader {
	int homefd;
	struct qformat format;
	struct rewrite rewrite;
	struct out out;
	struct str line;
	struct str plain;
	struct str target;
	bool failed;
};

/* Addresses are strangers' bytes: none may end the line or move the cursor. */
static void append_plainly(struct str *to, struct view v)
{
	for (size_t i = 0; i < v.len; i++) {
		char c = v.p[i];

		if ((unsigned char)c < ' ' || c == 127)
			c = '?';
		str_append_byte(to, c);
	}
}

/* `22 Nov 2026 09:08:43 GMT`, from an id. */
static void append_birth(struct str *to, uint64_t id)
{
	struct str date = { 0 };
	struct view without_zone;

	date_format(&date, (int64_t)(id / 1000000));
	without_zone = str_view(&date);
	without_zone.len = view_find_last(without_zone, ' ');
	str_append(to, without_zone);
	str_append_c(to, " GMT");
	str_free(&date);
}

/* Failures collected for the sender? */
static bool is_bouncing(const struct reader *r, uint64_t id)
{
	struct str path = { 0 };
	bool yes;

	qformat_path(&r->format, &path, "bounce", id);
	yes = faccessat(r->homefd, str_c(&path), F_OK, AT_EACCESS) == 0;
	str_free(&path);
	return yes;
}

static void put_message(struct reader *r, const struct qfile *q)
{
	struct str *line = &r->line;

	str_reset(line);
	append_birth(line, q->id);
	str_appendf(line, "  #%llu  %llu  <", (unsigned long long)q->id,
		    (unsigned long long)q->message_len);
	str_reset(&r->plain);
	address_quote(&r->plain, q->sender);
	append_plainly(line, str_view(&r->plain));
	str_append_c(line, "> ");
	if (is_bouncing(r, q->id))
		str_append_c(line, " bouncing");
	str_append_byte(line, '\n');
	out_put(&r->out, str_view(line));
}

/* As qmail-send would see it now: the control files may have changed. */
static void put_recipient(struct reader *r, const struct qfile_recipient *rcpt)
{
	struct str *line = &r->line;
	enum rewrite_kind kind;

	kind = rewrite_address(&r->rewrite, rcpt->address, &r->plain,
			       &r->target);
	str_set_c(line, rcpt->state == QFILE_WAITING ? "\t" : "  done\t");
	str_append_c(line, kind == REWRITE_LOCAL ? "local\t" : "remote\t");
	append_plainly(line, str_view(&r->target));
	str_append_byte(line, '\n');
	out_put(&r->out, str_view(line));
}

static void complain(struct reader *r, struct walk *walk, const char *what)
{
	warn("%s %s", str_c(&walk->path), what);
	r->failed = true;
}

static void list_file(struct reader *r, struct qfile *q)
{
	struct qfile_cursor at = { 0 };
	struct qfile_recipient rcpt;

	put_message(r, q);
	while (qfile_next(q, &at, &rcpt))
		put_recipient(r, &rcpt);
	qfile_close(q);
}

static void list_one(struct reader *r, struct walk *walk)
{
	struct qfile q;

	switch (qfile_open(&q, r->homefd, str_c(&walk->path))) {
	case QFILE_OK:
		break;
	case QFILE_EMPTY:
	case QFILE_ABSENT:
		return;
	case QFILE_NEWER:
		complain(r, walk, "is of a newer version");
		return;
	case QFILE_BAD:
		complain(r, walk, "is damaged");
		return;
	case QFILE_ERROR:
		warn_errno("cannot read %s", str_c(&walk->path));
		r->failed = true;
		return;
	}
	list_file(r, &q);
}

static void list(struct reader *r, const char *folder)
{
	struct walk walk = { .homefd = r->homefd,
			     .split = r->format.split,
			     .folder = folder };
	enum walk_result result;

	while ((result = walk_next(&walk)) == WALK_FOUND)
		list_one(r, &walk);
	if (result == WALK_ERROR)
		die_errno(EXIT_RETRY, "cannot read %s", str_c(&walk.path));
	walk_close(&walk);
}

static void list_log(struct reader *r)
{
	struct logwalk walk = { .homefd = r->homefd };
	enum walk_result result;
	struct qfile q;

	while ((result = logwalk_next(&walk, &q)) == WALK_FOUND)
		list_file(r, &q);
	if (result == WALK_ERROR)
		die_errno(EXIT_RETRY, "cannot read %s", str_c(&walk.path));
	logwalk_close(&walk);
}

int main(int argc, char **argv)
{
	static char space[8192];
	struct reader r = { 0 };
	const char *file;

	(void)argv;
	die_name("qmail-qread");
	if (argc != 1)
		die(EXIT_REJECT, "usage: qmail-qread");
	r.homefd = home_open();
	if (r.homefd == -1)
		die_errno(EXIT_RETRY, "cannot open the home directory");
	if (qformat_load(r.homefd, &r.format) != QFORMAT_OK)
		die(EXIT_RETRY, "cannot use queue/format");
	if (rewrite_load(&r.rewrite, r.homefd, &file) == -1)
		die_errno(EXIT_RETRY, "cannot read control/%s", file);
	out_init(&r.out, STDOUT_FILENO, space, sizeof(space), -1);
	list(&r, "new");
	list_log(&r);
	list(&r, "mess");
	if (out_flush(&r.out) == -1)
		die_errno(EXIT_RETRY, "cannot write");
	rewrite_free(&r.rewrite);
	str_free(&r.line);
	str_free(&r.plain);
	str_free(&r.target);
	return r.failed ? EXIT_RETRY : EXIT_DONE;
}
