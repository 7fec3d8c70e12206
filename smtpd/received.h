#ifndef SMTPD_RECEIVED_H
#define SMTPD_RECEIVED_H

/*
 * The Received field that says where a message came from, as qmail's servers
 * write it:
 *
 *	Received: from host (HELO name) (info@192.0.2.1)
 *	  by here with ESMTP; 22 Nov 2026 09:08:43 -0000
 *
 * What the client and its name server said is reduced to harmless bytes.
 */

#include <stdint.h>

#include "lib/str.h"

struct received {
	struct view host;     /* TCPREMOTEHOST; empty: unknown */
	struct view helo;     /* not shown when empty or the same as host */
	struct view info;     /* TCPREMOTEINFO, or empty */
	struct view ip;       /* TCPREMOTEIP; empty: unknown */
	struct view by;       /* TCPLOCALHOST, TCPLOCALIP, or unknown */
	struct view protocol; /* SMTP, ESMTP */
};

/* Append both lines, LF at their ends. */
void received_format(struct str *to, const struct received *received,
		     int64_t now_s);

/* The environment's part of it, tcpserver's variables. */
void received_from_environment(struct received *received);

#endif
