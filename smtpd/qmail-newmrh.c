/*
 * qmail-newmrh - make control/morercpthosts.cdb from control/morercpthosts.
 *
 * started by  hand, and by the programs that change morercpthosts
 * runs as     root (or the one user of an instance)
 * exits       EXIT_DONE; EXIT_RETRY with the old cdb in place
 *
 * The keys are the entries in lower case, with empty data.
 */
#include <errno.h>
#include <sys/stat.h>

#include "lib/cdbmap.h"
#include "lib/control.h"
#include "lib/die.h"
#include "lib/home.h"

#define CDB "control/morercpthosts.cdb"
#define TEMP "control/morercpthosts.tmp"

static void add_entries(struct cdbmap_writer *writer,
			const struct control_list *list)
{
	struct view rest = control_list_start(list);
	struct str key = { 0 };
	struct view entry;

	while (control_list_next(&rest, &entry)) {
		str_set(&key, entry);
		str_lower(&key);
		if (cdbmap_write_add(writer, str_view(&key), VIEW("")) == 0)
			continue;
		warn_errno("fatal: unable to write " TEMP);
		cdbmap_write_abort(writer);
		die(EXIT_RETRY, "fatal: " CDB " is as it was");
	}
	str_free(&key);
}

int main(int argc, char **argv)
{
	struct cdbmap_writer *writer;
	struct control_list list = { 0 };
	int homefd;

	(void)argv;
	die_name("qmail-newmrh");
	if (argc != 1)
		die(EXIT_REJECT, "usage: qmail-newmrh");
	umask(033);
	homefd = home_open();
	if (homefd == -1)
		die_errno(EXIT_RETRY, "fatal: unable to open the home");
	/* Begun first: who uses the same temporary name waits here. */
	writer = cdbmap_write_begin(homefd, CDB, TEMP, 0644);
	if (!writer)
		die_errno(EXIT_RETRY, "fatal: unable to write " TEMP);
	if (control_list(homefd, "morercpthosts", &list) != CONTROL_OK) {
		warn_errno("fatal: unable to read control/morercpthosts");
		cdbmap_write_abort(writer);
		return EXIT_RETRY;
	}
	add_entries(writer, &list);
	if (cdbmap_write_commit(writer) == -1)
		die_errno(EXIT_RETRY, "fatal: unable to make " CDB);
	control_list_free(&list);
	return EXIT_DONE;
}
