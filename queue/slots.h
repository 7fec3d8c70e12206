#ifndef QUEUE_SLOTS_H
#define QUEUE_SLOTS_H

/*
 * Who may be a client now.
 *
 * There are `total` slots, and a client needs one. So that nobody keeps the
 * house's own programs from working, some are kept free for qmail-send
 * (bounces), some for those who deliver (alias and control/deliveryids:
 * forwards), some for the network servers; the others of a kind cannot use
 * what is kept for kinds before theirs. One uid of the kinds DELIVERY and
 * OTHER may hold a limited number. Where all run as one uid there is only
 * the total.
 */

#include <sys/types.h>

#include "lib/ids.h"
#include "lib/str.h"

enum slots_kind { /* those that are served first come first */
		  SLOTS_SEND,
		  SLOTS_DELIVERY,
		  SLOTS_NETWORK,
		  SLOTS_OTHER,
};

#define SLOTS_KINDS 4

struct slots_holder {
	uid_t uid;
	size_t used;
};

/* All-zero holds no slot at all. */
struct slots {
	size_t total;
	size_t used[SLOTS_KINDS];
	size_t kept[SLOTS_KINDS];      /* for each kind; 0 for OTHER */
	size_t uid_limit[SLOTS_KINDS]; /* for one uid of that kind */
	struct slots_holder *holders;  /* `total` of them */
	bool single;
	uid_t send_uid;
	uid_t network_uid;
	uid_t alias_uid;
	struct str delivery_uids; /* uid_t values */
};

void slots_init(struct slots *slots, size_t total, const struct ids *ids);
/*
 * The text of control/deliveryids: of `uid gid` lines, the uids. Replaces
 * those of before.
 */
void slots_delivery_ids(struct slots *slots, struct view text);
void slots_free(struct slots *slots);

/* Take a slot; *kind is to be given back with it. false: none to be had. */
bool slots_take(struct slots *slots, uid_t uid, enum slots_kind *kind) MUST_USE;
void slots_give(struct slots *slots, uid_t uid, enum slots_kind kind);

#endif
