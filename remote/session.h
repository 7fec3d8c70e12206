#ifndef REMOTE_SESSION_H
#define REMOTE_SESSION_H

/*
 * A connection to an SMTP server that has been greeted, and may be kept from
 * one message to the next.
 *
 *	struct session session = { 0 };
 *
 *	if (session_open(&session, &ip, port, helo, &times) == SESSION_OPEN)
 *		...session.client
 *	session_quit(&session);
 *
 * All-zero is a closed one.
 */

#include "remote/client.h"

struct session_times { /* how long a server may take, in milliseconds */
	int connect;
	int greeting;
	int command; /* EHLO, MAIL, RCPT, RSET */
	int data;    /* the reply to DATA */
	int block;   /* each piece of the message */
	int final;   /* the reply to the last dot */
};

struct session {
	bool is_open;
	struct client client;
	struct ipaddr ip; /* whom it is with, also after it was closed */
	unsigned port;
	struct str host;   /* that address as text */
	struct str helo;   /* the name that it was greeted with */
	uint64_t messages; /* it has taken */
	bool is_kept;      /* from an earlier message */
	bool needs_rset;   /* before the next MAIL */
	bool has_8bitmime; /* what it offers: */
	bool has_size;
	bool has_smtputf8;
	bool has_pipelining;
	uint64_t max_bytes; /* by SIZE; 0 for no limit */
};

enum session_result {
	SESSION_OPEN,
	SESSION_NO_REACH, /* there was no connection */
	SESSION_LOST,     /* client.trouble says how */
	SESSION_REFUSED,  /* our name was; client.reply says how */
	SESSION_GREETING, /* we were, by its greeting */
};

/* Where it is not SESSION_OPEN nor NO_REACH, the connection is left open. */
enum session_result session_open(struct session *s, const struct ipaddr *ip,
				 unsigned port, struct view helo,
				 const struct session_times *times) MUST_USE;

/* Is it such a connection? */
bool session_is_with(const struct session *s, const struct ipaddr *ip,
		     unsigned port, struct view helo);
/* It lives, and has said nothing since its last reply. */
bool session_is_quiet(const struct session *s);

/* Say QUIT if that makes sense, and close. */
void session_quit(struct session *s);
/* Only close: what it was told last must not count. */
void session_close(struct session *s);
void session_free(struct session *s);

#endif
