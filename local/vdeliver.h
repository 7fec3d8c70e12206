#ifndef LOCAL_VDELIVER_H
#define LOCAL_VDELIVER_H

/*
 * Delivering to a mailbox of a virtual domain, as vpopmail's vdelivermail
 * does: the account is looked up in vpasswd.cdb of the domain's directory,
 * its own .qmail is obeyed if it has one, and its Maildir takes the message
 * otherwise. What is for nobody meets the domain's fallback.
 *
 * The process is the domain's owner already, and stands in its directory.
 */

#include "lib/vpasswd.h"
#include "local/envelope.h"
#include "local/verdict.h"

struct vdeliver {
	const struct job *job; /* ext is the user, domain his domain */
	const struct envelope *envelope;
	const char *fallback;     /* `delete`, `bounce-no-mailbox`, ... */
	struct view forward_from; /* sender of forwards */
	int signals;              /* as for program_run() */
	size_t line;     /* of .qmail-default, where more could deliver; or 0 */
	bool is_checked; /* it does not have envelope->dtline already */
	struct vpasswd_table *accounts; /* kept for later, or NULL */

	struct verdict verdict;
	bool stop; /* a program said that this was all (99) */
	bool ran_program;
	bool moved; /* to the account's directory */
	/* The rest is its own. */
	struct str addresses;
	struct envelope shown; /* with the user's own address, for files */
};

/*
 * Fill in what the environment says: EXT, HOST, SENDER, NEWSENDER, RPLINE and
 * DTLINE. The views point there; the lines of *envelope are set.
 */
void vdeliver_environment(struct vdeliver *v, struct job *job,
			  struct envelope *envelope);

/* The outcome and its text are then in v->verdict. */
void vdeliver_run(struct vdeliver *v);
void vdeliver_free(struct vdeliver *v);

#endif
