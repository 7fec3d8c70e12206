#ifndef QUEUE_CLIENT_H
#define QUEUE_CLIENT_H

/*
 * One client of qmail-queued, from connect to answer.
 *
 *	TALKING --END--> COMMITTING --synced--> GONE, or TALKING
 *	   |                  |
 *	   +---- refused -----+--- its file removed ---> GONE
 *
 * Until END the client owns the message: when it goes away, nothing is left.
 * From END to the answer nothing it does matters. A HELLO that came with END
 * asks for another message: it gets its GO with DONE.
 */

#include <sys/types.h>

#include "lib/polls.h"
#include "queue/appender.h"
#include "queue/committer.h"
#include "queue/request.h"
#include "queue/slots.h"
#include "queue/spool.h"

struct server;

enum client_phase {
	CLIENT_TALKING,
	CLIENT_COMMITTING,
	CLIENT_GONE, /* to be freed */
};

struct client {
	struct commit commit;
	struct append append;
	struct client *next;
	struct server *server;
	enum client_phase phase;
	int sock;
	uid_t uid; /* the kernel says */
	pid_t pid;
	enum slots_kind kind;
	int64_t start_ms;
	int64_t heard_ms; /* when bytes last came */
	size_t poll_no;
	bool polled; /* poll_no is this round's */
	bool begun;  /* there is something of a message */
	bool sender_written;
	bool again;   /* HELLO came behind END */
	bool spoiled; /* so did other things */
	struct request request;
	struct spool_file file;
};

/* Takes sock over. NULL: refused, or out of slots; it has been told. */
struct client *client_open(struct server *server, int sock);
void client_prepare(struct client *client, struct polls *polls,
		    int64_t *deadline);
void client_act(struct client *client, const struct polls *polls);
/* Remove what there is of the message and say goodbye. Not while committing. */
void client_refuse(struct client *client, int code, const char *text);
void client_free(struct client *client);

#endif
