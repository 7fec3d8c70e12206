#ifndef SEND_BOUNCE_H
#define SEND_BOUNCE_H

/*
 * The text of a bounce, in qmail's own form (QSBMF): an introduction, a
 * paragraph for each recipient that failed, and the message.
 */

#include <stdint.h>

#include "lib/qfile.h"
#include "lib/rewrite.h"
#include "lib/str.h"
#include "send/config.h"

/*
 * Who hears of it. Empty recipient: nobody does, not even a double bounce.
 * sender is that of the message that failed.
 */
struct bounce_route {
	struct view from;
	struct view to;
	bool is_double;
	bool is_triple;
};

struct bounce_route bounce_route(const struct config *config,
				 struct view sender);

/*
 * Append everything that comes before the copy of the message. reports are
 * those of send/reports.h; failed recipients without one get a generic text.
 */
void bounce_text(struct str *to, const struct config *config,
		 const struct rewrite *rewrite, const struct qfile *file,
		 struct view reports, const struct bounce_route *route,
		 int64_t now_s);

#endif
