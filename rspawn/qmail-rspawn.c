/*
 * qmail-rspawn - give each remote job to a qmail-remote, one that waits with
 * a connection to the same next hop if there is one.
 *
 * started by  qmail-start
 * runs as     qmailr
 * fds         0 the socket of jobs and results (doc/delivery.md), 2 the log
 * exits       EXIT_DONE when qmail-send has closed and all is done,
 *             EXIT_RETRY when the socket fails
 */
#include <unistd.h>

#include "lib/die.h"
#include "lib/home.h"
#include "lib/spawner.h"
#include "rspawn/nexthop.h"

struct rspawn {
	struct str path; /* of qmail-remote */
	struct nexthop nexthop;
	struct str key; /* scratch */
};

static void start(struct spawner *s, struct spawner_slot *slot)
{
	struct rspawn *my = s->arg;
	const char *argv[] = { str_c(&my->path), "--jobs", NULL };
	struct spawn how = { .argv = argv };

	nexthop_key(&my->nexthop, slot->job.host, &my->key);
	spawner_worker(s, slot, &how, &slot->job, str_view(&my->key));
}

int main(int argc, char **argv)
{
	static const struct spawner_ops ops = {
		.worker = "qmail-remote",
		.start = start,
	};
	struct rspawn my = { 0 };
	struct spawner s = { .ops = &ops, .arg = &my };
	int code;

	(void)argv;
	die_name("qmail-rspawn");
	if (argc != 1)
		die(EXIT_REJECT, "usage: qmail-rspawn");
	home_path(&my.path);
	str_append_c(&my.path, "/bin/qmail-remote");
	my.nexthop.homefd = home_open();
	if (my.nexthop.homefd == -1)
		die_errno(EXIT_RETRY, "cannot open the home");
	if (spawner_timeout(my.nexthop.homefd, &s.timeout_ms) == -1)
		die_errno(EXIT_RETRY, "cannot read control/timeoutdelivery");
	if (spawner_init(&s) == -1)
		die_errno(EXIT_RETRY, "cannot say hello to qmail-send");
	code = spawner_run(&s);
	nexthop_free(&my.nexthop);
	close(my.nexthop.homefd);
	str_free(&my.key);
	str_free(&my.path);
	return code;
}
