#ifndef SEND_PASS_H
#define SEND_PASS_H

/*
 * One attempt at the recipients of a message on one channel.
 *
 * A pass walks the envelope once. A remote one leaves behind whose host may
 * have no more jobs now (send/destinations.h): he waits, closed message and
 * all, until his host calls, and then gets his one attempt of this round in a
 * pass that is for those at that host, and walks nowhere. The next pass for
 * everybody has its time in any case, and begins a new round. In the last
 * one, after queuelifetime, who is at a dead host has failed.
 *
 *	pass_open(s, m, c)
 *	while (pass_may_go_on(s, m, c)) ...
 *		a job for pass->next
 *		pass_advance(s, m, c)
 *	when nobody is next and nothing is in flight: pass_close(s, m, c)
 *
 * Each channel has at most `concurrency` passes over messages that have been
 * tried before, and as many over fresh ones, so that neither waits for the
 * other to be opened; paused ones come on top, as many again. Every other open
 * pass has a job in flight or may have one.
 */

#include <stdint.h>

#include "lib/qfile.h"
#include "send/destinations.h"
#include "send/group.h"

struct message;
struct send;

struct pass {
	bool open;
	bool fresh;     /* the message's first on this channel */
	bool last;      /* what is deferred now has failed */
	bool is_paused; /* the next one's host takes no job now */
	bool has_next;  /* false: all recipients have been visited */
	int64_t retry;  /* when the next pass is due */
	uint64_t in_flight;
	struct qfile_cursor before; /* the next one */
	struct qfile_cursor at;     /* behind him */
	struct qfile_recipient next;
	struct destination *destination; /* his, held; or NULL */
	struct group_ticks taken; /* whom jobs have taken from behind `at` */
	uint64_t *left;           /* serials of hosts that others wait for */
	size_t left_count;
	size_t left_cap;
};

struct pass_list { /* of open ones, in order of their next turn */
	struct message **messages;
	size_t count;
	size_t cap;
	size_t paused;
};

struct pass_list *pass_list(struct send *s, int c, bool fresh);
void pass_to_end(struct pass_list *list, struct message *m);
bool pass_has_room(struct send *s, int c, bool fresh);

/* For everybody who waits, if any of them can be tried now. */
void pass_open(struct send *s, struct message *m, int c);
/* For those at a remote host that has called, whom the caller knows. */
void pass_open_called(struct send *s, struct message *m, bool fresh,
		      struct view host);
/* Take it from its list. It is for the caller to say when the next is due. */
void pass_close(struct send *s, struct message *m, int c);
void pass_free(struct pass *pass);

/* Move it to its next recipient. */
void pass_advance(struct send *s, struct message *m, int c);
/* May there be a job for him now? Others are left behind until one may. */
bool pass_may_go_on(struct send *s, struct message *m, int c);
/* What his host says to it, on the remote channel. */
enum destination_state pass_state_of_next(const struct send *s,
					  const struct pass *pass);

#endif
