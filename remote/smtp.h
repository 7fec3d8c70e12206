#ifndef REMOTE_SMTP_H
#define REMOTE_SMTP_H

/*
 * One message through one SMTP server, on a connection of its own or on one
 * that is kept.
 *
 *	smtp_prepare(&plan, &job, &settings.times)
 *	smtp_reuse(&plan, &session, &outcome)          session is open
 *	smtp_deliver(&plan, &session, &ip, port, helo, &outcome)
 *
 * After each of them the session is open only if it can take another message.
 */

#include "lib/job.h"
#include "remote/encode.h"
#include "remote/outcome.h"
#include "remote/session.h"

struct smtp_plan {
	const struct job *job; /* message, sender, body, smtputf8 */
	const struct session_times *times;
	struct encode measure; /* what the message is made of */
};

enum smtp_result {
	SMTP_ENDED,    /* the outcome is decided */
	SMTP_NEXT,     /* not delivered, and another server may be asked */
	SMTP_NO_REACH, /* there was no connection */
	SMTP_STALE,    /* the kept connection took nothing: use a fresh one */
};

/* Measure the message. False when it cannot be read. */
bool smtp_prepare(struct smtp_plan *plan, const struct job *job,
		  const struct session_times *times) MUST_USE;

/* The outcome is set in any case. Never SMTP_STALE. */
enum smtp_result smtp_deliver(const struct smtp_plan *plan,
			      struct session *session, const struct ipaddr *ip,
			      unsigned port, struct view helo,
			      struct outcome *outcome) MUST_USE;

/* SMTP_ENDED, SMTP_NEXT, or SMTP_STALE with the outcome untouched. */
enum smtp_result smtp_reuse(const struct smtp_plan *plan,
			    struct session *session,
			    struct outcome *outcome) MUST_USE;

#endif
