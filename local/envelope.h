#ifndef LOCAL_ENVELOPE_H
#define LOCAL_ENVELOPE_H

/*
 * What qmail-local knows about one delivery, and how it tells the programs
 * and files it delivers to: header lines and environment variables, as
 * qmail-command(8) names them.
 *
 * The strings are a stranger's. A value that begins with `()` is a function
 * to old shells (CVE-2014-6271): its first byte becomes `_` in the
 * environment. Line feeds in the lines become `_`, or `?` where they are quoted.
 */

#include <stdint.h>

#include "lib/environment.h"
#include "lib/job.h"
#include "lib/str.h"

struct envelope {
	struct str dtline; /* Delivered-To, with its LF */
	struct str rpline; /* Return-Path */
	struct str ufline; /* From_, for mbox files */
	struct environment environment;
};

void envelope_format(struct envelope *envelope, const struct job *job,
		     int64_t now_s);
void envelope_free(struct envelope *envelope);

/*
 * Set the variables of a delivery in our own environment, for the programs
 * that are run, until envelope_free(). DEFAULT and NEWSENDER are removed;
 * they have calls of their own.
 */
void envelope_export(struct envelope *envelope, const struct job *job);
void envelope_export_default(struct envelope *envelope,
			     struct view default_part);
void envelope_export_newsender(struct envelope *envelope,
			       struct view newsender);

#endif
