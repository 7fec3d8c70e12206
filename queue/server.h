#ifndef QUEUE_SERVER_H
#define QUEUE_SERVER_H

/*
 * qmail-queued's loop: the socket, its clients, the committers, the log, the
 * connection to qmail-send, signals.
 *
 *	server_open(&server, &setup);
 *	server_run(&server);        until told to end, or end of file on
 *	                            `until_fd`
 *	server_close(&server);
 *
 * Everything a client does to the queue is in queue/client.h.
 */

#include <stdint.h>

#include "lib/enqueue.h"
#include "lib/ids.h"
#include "lib/polls.h"
#include "queue/appender.h"
#include "queue/committer.h"
#include "queue/handover.h"
#include "queue/slots.h"
#include "queue/spool.h"

struct client;

struct server {
	/* Set by the caller before server_open(). */
	int homefd; /* also the working directory */
	int lockfd;
	int until_fd; /* end at its end of file; -1: none */
	const struct ids *ids;
	size_t slot_count;
	size_t committer_count;
	int64_t idle_ms;  /* a client may be silent this long */
	int64_t total_ms; /* and stay this long */

	struct spool spool;
	struct slots slots;
	struct committers committers;
	struct appender appender;
	struct handover handover;
	struct client
		*clients; /* a list; those that are gone too, for a while */
	int listener;     /* -1: stopping */
	int signals;
	int64_t accept_ms;  /* not to accept before: descriptors are out */
	int64_t noted_ms;   /* when a client's misbehaviour was last logged */
	int64_t trigger_ms; /* not before, after a failure */
	int64_t linger_from_ms; /* told to end, and staying; 0: not told */
	bool trigger_due;       /* messages have been accepted */
	struct polls polls;
	size_t listener_no;
	size_t signals_no;
	size_t until_no;
	char space[ENQUEUE_PIECE_MAX]; /* what one client has just sent */
};

/* A file of this id is accepted: tell qmail-send. */
void server_tell_file(struct server *server, uint64_t id);

/* Dies if it cannot. */
void server_open(struct server *server, const struct qformat *format);
void server_run(struct server *server);
void server_close(struct server *server);

#endif
