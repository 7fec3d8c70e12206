#ifndef POPD_PARSER_H
#define POPD_PARSER_H

/*
 * The half of qmail-popup that reads what a stranger sends: RFC 1939's
 * authorization state. It runs in a process without privileges and hands
 * the monitor two byte strings, nothing else.
 *
 * Not one byte behind the line with the password is taken from the
 * descriptor: a client that pipelines (RFC 2449) has sent commands there for
 * the program that serves the mailbox.
 */

#include "lib/str.h"

/* What checkpassword programs read, timestamp included. */
#define PARSER_MAX_BYTES 512

/* A user's name, a NUL, the password or APOP digest, a NUL. */
struct credentials {
	struct str text;
};

enum parser_result {
	PARSER_LOG_IN, /* *credentials are what the client said */
	PARSER_OVER,   /* QUIT, a lost client, too many errors */
};

/* greeting: the banner's text, time stamp included. in, out: the client. */
enum parser_result parser_run(int in, int out, const char *greeting,
			      struct credentials *credentials) MUST_USE;

/* A log line: `pid ip event`; detail is escaped. */
void parser_log(const char *event, struct view detail);

#endif
