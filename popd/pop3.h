#ifndef POPD_POP3_H
#define POPD_POP3_H

/*
 * One POP3 session after log-in (RFC 1939's transaction state, RFC 2449).
 *
 *	pop3_init(&pop3, &drop);
 *	pop3_serve(&pop3);         from +OK to QUIT, or until the client is lost
 *
 * Only QUIT deletes anything.
 */

#include "lib/in.h"
#include "lib/out.h"
#include "lib/str.h"
#include "popd/maildrop.h"

#define POP3_TIMEOUT_MS 1200000  /* RFC 1939: at least 10 minutes */
#define POP3_LINE_MAX_BYTES 1024 /* RFC 2449: at least 255 */
#define POP3_ERRORS_MAX 10       /* in a row */

struct pop3 {
	struct maildrop *drop; /* borrowed */
	struct in in;
	struct out out;
	struct str text; /* what a reply is made of */
	size_t last;     /* highest number retrieved, for LAST */
	unsigned errors; /* in a row */
	bool lingers;    /* we end it, not the client */
	bool over;
	char in_space[4096];
	char out_space[16384];
};

void pop3_init(struct pop3 *p, struct maildrop *drop);
void pop3_free(struct pop3 *p);
void pop3_serve(struct pop3 *p);

#endif
