#ifndef REMOTE_DELIVER_H
#define REMOTE_DELIVER_H

/*
 * Remote deliveries, one after the other: settings, route, server after
 * server. The connection that took a message stays open for the next one.
 *
 *	struct deliver d = { .homefd = homefd };
 *
 *	deliver_remote(&d, &job, &outcome);
 *	deliver_free(&d);
 *
 * Every delivery ends as the first one of a fresh process would.
 */

#include "lib/job.h"
#include "remote/exchangers.h"
#include "remote/outcome.h"
#include "remote/session.h"
#include "remote/settings.h"

struct deliver {
	int homefd; /* borrowed */
	struct settings settings;
	struct exchangers exchangers;
	struct session session;
	bool in_trouble; /* ours: a file could not be read, or the like */
};

/* job needs host, sender, message, body and smtputf8; sets the outcome. */
void deliver_remote(struct deliver *d, const struct job *job,
		    struct outcome *outcome);
/* Says QUIT on the connection that is still there. */
void deliver_free(struct deliver *d);

#endif
