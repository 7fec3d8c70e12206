/*
 * qmail-newu - make users/cdb from users/assign.
 *
 * started by  hand, and by the programs that change users/assign
 * runs as     root (or the one user of an instance)
 * exits       EXIT_DONE, EXIT_RETRY with the old users/cdb in place
 */
#include <errno.h>
#include <sys/stat.h>

#include "lib/cdbmap.h"
#include "lib/control.h"
#include "lib/die.h"
#include "lib/home.h"
#include "lspawn/assign.h"

#define ASSIGN_MAX_BYTES ((size_t)1024 * 1024 * 1024)

static noreturn void bad_format(size_t number)
{
	die(EXIT_RETRY, "fatal: bad format in users/assign, line %zu", number);
}

static void add(struct cdbmap_writer *writer, struct view key,
		struct view value)
{
	if (cdbmap_write_add(writer, key, value) == 0)
		return;
	warn_errno("fatal: unable to write users/cdb.tmp");
	cdbmap_write_abort(writer);
	die(EXIT_RETRY, "fatal: users/cdb is as it was");
}

/* Every line up to the one that is a dot. */
static void add_lines(struct cdbmap_writer *writer, struct view text)
{
	struct str key = { 0 };
	struct str value = { 0 };
	struct str wild_ends = { 0 };

	for (size_t number = 1;; number++) {
		struct view line = view_cut(&text, '\n');

		/* Without a final dot, the file may be half of one. */
		if (view_starts(line, VIEW(".")))
			break;
		if (!text.p || !assign_line(line, &key, &value, &wild_ends)) {
			cdbmap_write_abort(writer);
			bad_format(number);
		}
		add(writer, str_view(&key), str_view(&value));
	}
	add(writer, VIEW(""), str_view(&wild_ends));
	str_free(&key);
	str_free(&value);
	str_free(&wild_ends);
}

int main(int argc, char **argv)
{
	struct cdbmap_writer *writer;
	struct str text = { 0 };
	int homefd;

	(void)argv;
	die_name("qmail-newu");
	if (argc != 1)
		die(EXIT_REJECT, "usage: qmail-newu");
	umask(033);
	homefd = home_open();
	if (homefd == -1)
		die_errno(EXIT_RETRY, "fatal: unable to open the home");
	/* Begun first: who uses the same temporary name waits here. */
	writer = cdbmap_write_begin(homefd, "users/cdb", "users/cdb.tmp", 0644);
	if (!writer)
		die_errno(EXIT_RETRY, "fatal: unable to write users/cdb.tmp");
	switch (control_read(homefd, "users/assign", &text, ASSIGN_MAX_BYTES)) {
	case CONTROL_OK:
		break;
	case CONTROL_ABSENT:
		errno = ENOENT; /* fall through */
	case CONTROL_ERROR:
		warn_errno("fatal: unable to read users/assign");
		cdbmap_write_abort(writer);
		return EXIT_RETRY;
	}
	add_lines(writer, str_view(&text));
	if (cdbmap_write_commit(writer) == -1)
		die_errno(EXIT_RETRY, "fatal: unable to make users/cdb");
	str_free(&text);
	return EXIT_DONE;
}
