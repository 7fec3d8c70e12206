/*
 * qmail-qstat - count the messages in the queue.
 *
 * started by  the administrator
 * runs as     root, or a user that may read the queue's folders
 * exits       EXIT_DONE, EXIT_REJECT for misuse, EXIT_RETRY when the queue
 *             cannot be read
 */
#include <errno.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/home.h"
#include "lib/out.h"
#include "lib/qformat.h"
#include "queue/logwalk.h"
#include "queue/walk.h"

static uint64_t count(int homefd, uint64_t split, const char *folder)
{
	struct walk walk = { .homefd = homefd,
			     .split = split,
			     .folder = folder };
	uint64_t messages = 0;
	enum walk_result result;

	while ((result = walk_next(&walk)) == WALK_FOUND)
		messages++;
	if (result == WALK_ERROR)
		die_errno(EXIT_RETRY, "cannot read %s", str_c(&walk.path));
	walk_close(&walk);
	return messages;
}

/* Accepted, and in qmail-send's hands, but not a file yet. */
static uint64_t count_log(int homefd)
{
	struct logwalk walk = { .homefd = homefd };
	uint64_t messages = 0;
	enum walk_result result;
	struct qfile file;

	while ((result = logwalk_next(&walk, &file)) == WALK_FOUND) {
		messages++;
		qfile_close(&file);
	}
	if (result == WALK_ERROR)
		die_errno(EXIT_RETRY, "cannot read %s", str_c(&walk.path));
	logwalk_close(&walk);
	return messages;
}

int main(int argc, char **argv)
{
	struct qformat format;
	struct str text = { 0 };
	uint64_t taken;
	uint64_t waiting;
	int homefd;

	(void)argv;
	die_name("qmail-qstat");
	if (argc != 1)
		die(EXIT_REJECT, "usage: qmail-qstat");
	homefd = home_open();
	if (homefd == -1)
		die_errno(EXIT_RETRY, "cannot open the home directory");
	if (qformat_load(homefd, &format) != QFORMAT_OK)
		die(EXIT_RETRY, "cannot use queue/format");
	/* In this order: a message on its way is counted twice, not lost. */
	waiting = count(homefd, format.split, "new");
	taken = count_log(homefd);
	taken += count(homefd, format.split, "mess");
	str_appendf(&text,
		    "messages in queue: %lu\n"
		    "messages in queue but not yet preprocessed: %lu\n",
		    taken + waiting, waiting);
	if (write_all(STDOUT_FILENO, str_view(&text)) == -1)
		die_errno(EXIT_RETRY, "cannot write");
	str_free(&text);
	return EXIT_DONE;
}
