#ifndef SMTPD_SESSION_H
#define SMTPD_SESSION_H

/*
 * One SMTP session: the replies, the transaction, and handing it on.
 *
 *	session_init(&session, homefd, &policy);
 *	session_serve(&session);
 *
 * Replies wait in the buffer until the client's input is used up, so a
 * pipelined group is answered with one write. A reply's enhanced code
 * (RFC 2034) leads the text after EHLO, and ends it as `(#5.5.1)` before.
 */

#include <stdint.h>

#include "lib/enqueue.h"
#include "lib/in.h"
#include "lib/launcher.h"
#include "lib/out.h"
#include "lib/str.h"
#include "smtpd/command.h"
#include "smtpd/policy.h"

#define SESSION_IN_BYTES 65536
#define SESSION_OUT_BYTES 4096

struct session {
	int homefd;
	const struct launcher *launcher; /* of QMAILQUEUE's program */
	struct enqueue_link link;        /* to qmail-queued */
	struct policy *policy;
	struct in in;
	struct out out;
	bool esmtp;      /* EHLO was said */
	bool lingers;    /* we end it, not the client */
	bool over;       /* no command will be read any more */
	unsigned errors; /* in a row */
	unsigned idle;   /* commands since mail was last accepted */
	struct str id;   /* pid and the client's address, for the log */
	struct str helo; /* empty: nothing was said */
	/* The transaction: */
	bool has_sender;
	bool sender_is_bad;
	unsigned refused; /* recipients */
	struct str sender;
	struct str body;       /* BODY= as given */
	struct str recipients; /* each ends in a NUL */
	size_t recipient_count;
	char in_space[SESSION_IN_BYTES];
	char out_space[SESSION_OUT_BYTES];
};

/* policy and homefd are borrowed. */
void session_init(struct session *s, int homefd, struct policy *policy);
void session_free(struct session *s);

/* From the greeting to the end. 0, or -1 when the client was lost. */
int session_serve(struct session *s);

/* One reply line. code is `2xx`..`5xx`, enhanced like "5.5.1" or NULL. */
void session_reply(struct session *s, unsigned code, const char *enhanced,
		   const char *text);
/* The same, and nothing more is read. */
void session_end(struct session *s, unsigned code, const char *enhanced,
		 const char *text);

/* One log line: the session's id, then event and detail, escaped. */
void session_log(const struct session *s, const char *event,
		 struct view detail);

/* Forget sender and recipients. */
void session_reset(struct session *s);

#endif
