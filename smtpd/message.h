#ifndef SMTPD_MESSAGE_H
#define SMTPD_MESSAGE_H

/*
 * The DATA command of a session whose transaction is complete: connect to
 * the queue, 354, take the message, answer. The transaction is over
 * afterwards, whatever came of it.
 */

struct session;

void message_receive(struct session *s);

#endif
