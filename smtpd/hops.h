#ifndef SMTPD_HOPS_H
#define SMTPD_HOPS_H

/*
 * How often a message has travelled: its Received and Delivered-To fields,
 * counted while the text goes by, in chunks of any size, lines ending in LF.
 */

#include "lib/str.h"

#define HOPS_NAME_BYTES 14 /* the longest name, and one byte behind it */

struct hops {
	unsigned count;
	bool in_body;
	char line[HOPS_NAME_BYTES]; /* how the current line begins */
	size_t len;
};

void hops_init(struct hops *hops);
void hops_feed(struct hops *hops, struct view text);

#endif
