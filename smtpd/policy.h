#ifndef SMTPD_POLICY_H
#define SMTPD_POLICY_H

/*
 * What the administrator wants: control files and environment, read once
 * when a session begins. A file that is there but cannot be read, or makes
 * no sense, fails the whole session temporarily; nothing is ever assumed in
 * its place.
 */

#include <stdint.h>

#include "lib/cdbmap.h"
#include "lib/control.h"
#include "lib/str.h"

struct policy {
	struct str greeting;    /* smtpgreeting */
	struct str host;        /* me, or how the greeting begins */
	struct str localiphost; /* empty: there is none */
	struct control_list rcpthosts;
	struct cdbmap more; /* morercpthosts.cdb; fd -1: none */
	struct control_list badmailfrom;
	struct view relayclient; /* p NULL: not set */
	struct view local_ip;    /* TCPLOCALIP */
	uint64_t max_bytes;      /* databytes; 0: no limit */
	uint64_t max_recipients; /* maxrcpt; 0: no limit but memory's */
	int timeout_ms;          /* timeoutsmtpd */
	bool strict;             /* strictsmtp */
	bool recipients_open;    /* some rcpthosts exists */
};

/* 0, or -1 with *what naming the culprit and errno saying why. */
int policy_load(struct policy *policy, int homefd, const char **what) MUST_USE;
void policy_free(struct policy *policy);

/* Is this address, or `@` and its domain, in badmailfrom? */
bool policy_sender_is_bad(const struct policy *policy, struct view sender);

enum policy_answer {
	POLICY_ACCEPTED,
	POLICY_REFUSED, /* not for us */
	POLICY_ERROR,   /* it cannot be known now */
};

/*
 * May this recipient be served? On POLICY_ACCEPTED it is as it goes into
 * the envelope: with RELAYCLIENT's suffix, our own address literal replaced
 * by localiphost.
 */
enum policy_answer policy_recipient(struct policy *policy,
				    struct str *address) MUST_USE;

#endif
