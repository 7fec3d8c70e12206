#ifndef QUEUE_ENVELOPE_H
#define QUEUE_ENVELOPE_H

/*
 * The envelope as qmail-queue(8) reads it from descriptor 1: the letter F,
 * the sender, a NUL; for each recipient the letter T, the address, a NUL;
 * and one NUL more. Nothing else.
 *
 *	while (...read input...)
 *		while ((step = envelope_next(&e, &input)) != ENVELOPE_MORE)
 *			switch (step) ...
 *
 * Input may be cut anywhere. Addresses over QFILE_ADDRESS_MAX are not kept.
 */

#include "lib/str.h"

enum envelope_step {
	ENVELOPE_MORE,      /* the input is used up; the end has not come */
	ENVELOPE_SENDER,    /* e->address is the sender */
	ENVELOPE_RECIPIENT, /* e->address is a recipient */
	ENVELOPE_END,       /* complete; what may follow is not looked at */
	ENVELOPE_TOO_LONG,  /* an address */
	ENVELOPE_BAD,       /* not in the format, or without a recipient */
};

enum envelope_phase {
	ENVELOPE_AT_F,
	ENVELOPE_IN_SENDER,
	ENVELOPE_AT_T,
	ENVELOPE_IN_RECIPIENT,
};

/* All-zero is a new one. */
struct envelope {
	enum envelope_phase phase;
	bool given; /* address was handed out: empty it first */
	bool recipient_seen;
	struct str address;
};

/* After END, TOO_LONG and BAD it is over. */
enum envelope_step envelope_next(struct envelope *e,
				 struct view *input) MUST_USE;
void envelope_free(struct envelope *e);

#endif
