#ifndef REMOTE_SMTP_H
#define REMOTE_SMTP_H

/*
 * One message through one SMTP server.
 */

#include "lib/ipaddr.h"
#include "lib/job.h"
#include "remote/outcome.h"

struct smtp_times { /* how long a server may take, in milliseconds */
	int connect;
	int greeting;
	int command; /* EHLO, MAIL, RCPT */
	int data;    /* the reply to DATA */
	int block;   /* each piece of the message */
	int final;   /* the reply to the last dot */
};

struct smtp_plan {
	const struct job *job; /* message, sender, body, smtputf8 */
	struct view helo;      /* our name */
	struct smtp_times times;
};

enum smtp_result {
	SMTP_ENDED,    /* the outcome is decided */
	SMTP_NEXT,     /* not delivered, and another server may be asked */
	SMTP_NO_REACH, /* there was no connection */
};

/* The outcome is set in any case. */
enum smtp_result smtp_deliver(const struct smtp_plan *plan,
			      const struct ipaddr *ip, unsigned port,
			      struct outcome *outcome) MUST_USE;

#endif
