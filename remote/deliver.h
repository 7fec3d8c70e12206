#ifndef REMOTE_DELIVER_H
#define REMOTE_DELIVER_H

/*
 * One remote delivery: settings, route, server after server.
 */

#include "lib/job.h"
#include "remote/outcome.h"

/* job needs host, sender, message, body and smtputf8; sets the outcome. */
void deliver_remote(int homefd, const struct job *job, struct outcome *outcome);

#endif
