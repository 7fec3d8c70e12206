#ifndef SEND_SEND_H
#define SEND_SEND_H

/*
 * Everything that qmail-send knows, in one struct that its modules share:
 *
 *	take       new/ and mess/: which messages there are
 *	logged     those that lie in the queue's log; qmail-queued's word
 *	schedule   when each is due
 *	work       open messages, and their passes over recipients
 *	turns      which recipient gets the next free slot
 *	destinations  how many jobs each remote host may have, and who waits
 *	channel    the two spawners
 *	finish     the end of a message: its bounce, its removal
 *
 * The loop in qmail-send.c lets them act in turn. None of them waits for
 * anything but the disk.
 */

#include <stdint.h>

#include "lib/launcher.h"
#include "lib/polls.h"
#include "lib/qformat.h"
#include "lib/rewrite.h"
#include "lib/str.h"
#include "send/channel.h"
#include "send/config.h"
#include "send/destinations.h"
#include "send/finish.h"
#include "send/log.h"
#include "send/logged.h"
#include "send/schedule.h"
#include "send/take.h"
#include "send/work.h"

#define CHANNELS 2 /* numbered as DUE_LOCAL and DUE_REMOTE */

/* How long to leave a message alone that could not be worked on (qmail's). */
#define SEND_TROUBLE_S 123

struct send {
	int homefd;
	struct launcher launcher; /* of QMAILQUEUE's program */
	struct qformat format;
	struct config config;
	struct rewrite rewrite;
	struct log log;
	struct schedule schedule;
	struct channel channels[CHANNELS];
	struct work work;
	struct destinations destinations;
	struct take take;
	struct logged logged;
	struct finish finish;
	/*
	 * What was born before jump_until_s is younger, by jump_s, than the
	 * clock says since it was set forward.
	 */
	int64_t jump_until_s;
	int64_t jump_s;
	int64_t now;  /* wall clock seconds, once a turn of the loop */
	bool again;   /* something is left to do at once */
	bool exiting; /* finish what has begun, then exit */
	bool lost;    /* a spawner is gone */
};

#endif
