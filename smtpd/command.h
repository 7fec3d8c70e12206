#ifndef SMTPD_COMMAND_H
#define SMTPD_COMMAND_H

/*
 * One line of a client, taken apart (RFC 5321 section 4.1). Everything here
 * is a pure function of the line; views point into it.
 */

#include <stdint.h>

#include "lib/str.h"

enum verb {
	VERB_UNKNOWN,
	VERB_FOREIGN, /* HTTP, or the header of a message: not a mail client */
	VERB_HELO,
	VERB_EHLO,
	VERB_MAIL,
	VERB_RCPT,
	VERB_DATA,
	VERB_RSET,
	VERB_NOOP,
	VERB_QUIT,
	VERB_HELP,
	VERB_VRFY,
	VERB_UNIMPLEMENTED, /* known to the RFCs, not offered here */
};

struct command {
	enum verb verb;
	struct view arg; /* without blanks at its ends */
};

struct command command_parse(struct view line);

enum command_result {
	COMMAND_OK,
	COMMAND_SYNTAX,    /* no FROM: or TO:, or a parameter without sense */
	COMMAND_ADDRESS,   /* the address is none */
	COMMAND_PARAMETER, /* a parameter nobody offered */
};

/*
 * `FROM:<address> parameters`, keyword being FROM or TO. Strict wants the
 * angle brackets, and no blank around the colon. *address is overwritten.
 */
enum command_result command_path(struct view arg, struct view keyword,
				 bool strict, struct str *address,
				 struct view *parameters) MUST_USE;

struct mail_parameters {
	uint64_t size;    /* 0 when absent; the highest number on overflow */
	struct view body; /* `7BIT`, `8BITMIME`, or empty */
};

/* The parameters of MAIL; each at most once. */
enum command_result
command_mail_parameters(struct view parameters,
			struct mail_parameters *mail) MUST_USE;

/* RCPT has none yet. */
enum command_result command_rcpt_parameters(struct view parameters) MUST_USE;

#endif
