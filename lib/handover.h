#ifndef LIB_HANDOVER_H
#define LIB_HANDOVER_H

/*
 * What qmail-queued and qmail-send say to each other on
 * queue/socket/handover, a SOCK_SEQPACKET socket (doc/queue.md, Handover).
 * Packets are made of records (lib/record.h) and at most HANDOVER_MAX_BYTES
 * long; a reader skips types that it does not know.
 */

#define HANDOVER_SOCKET "queue/socket/handover"
#define HANDOVER_PROTOCOL "valija-handover 1"
#define HANDOVER_MAX_BYTES 16384

enum handover_type {
	/* qmail-queued's: */
	HANDOVER_HELLO = 1,  /* HANDOVER_PROTOCOL; in its first packet, first */
	HANDOVER_REPLAY = 2, /* u64 segment: look at all of its records */
	HANDOVER_RECORD = 3, /* u64 segment, u64 offset, u64 length of image */
	HANDOVER_FILE = 4,   /* u64 id: it lies in new/ */
	/* qmail-send's: */
	HANDOVER_RELEASED =
		16, /* u64 segment, u64 records, u64 of them moved */
	HANDOVER_REPLAYED = 17, /* u64 segment */
	HANDOVER_ENDING = 18,   /* told to end; ends when its jobs have */
};

#endif
