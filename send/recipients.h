#ifndef SEND_RECIPIENTS_H
#define SEND_RECIPIENTS_H

/*
 * Which channel a recipient belongs to, and whether a pass is for him.
 *
 * Local or remote is decided anew each time, since locals and virtualdomains
 * may change under way.
 */

#include <stdint.h>

#include "lib/qfile.h"
#include "lib/str.h"

struct message;
struct send;

/*
 * The channel. The address without its percent hacks is left in work.plain,
 * and the one to deliver to in work.target.
 */
int recipient_channel(struct send *s, struct view address);

/* How many wait on each channel. */
void recipients_count(struct send *s, const struct message *m,
		      uint64_t counts[2]);

/* Does he wait for this pass? recipient_channel() leaves its words. */
bool recipient_is_for_pass(struct send *s, const struct message *m, int c,
			   const struct qfile_recipient *rcpt);

/* Does anybody wait at another remote host? */
bool recipients_elsewhere(struct send *s, const struct message *m,
			  struct view host);

#endif
