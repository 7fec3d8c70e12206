#ifndef LIB_VQUOTA_H
#define LIB_VQUOTA_H

/*
 * Quotas of mailboxes: `NOQUOTA`, or `1000000S,1000C` (bytes, messages; each
 * may be missing). People write `10M`, `500K`, `10MB`, `1000000`.
 */

#include "lib/str.h"

struct vquota {
	uint64_t bytes;    /* 0: no limit */
	uint64_t messages; /* 0: no limit */
};

/* -1 for what is no quota. Empty and NOQUOTA are no limits at all. */
int vquota_parse(struct view text, struct vquota *quota) MUST_USE;
/* Append in the normal form. */
void vquota_format(struct str *to, const struct vquota *quota);

#endif
