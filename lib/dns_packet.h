#ifndef LIB_DNS_PACKET_H
#define LIB_DNS_PACKET_H

/*
 * The packets of DNS (RFC 1035, EDNS0 of RFC 6891): a question written, the
 * answer to it read. Who asks over the network uses lib/dns.h.
 *
 * Trust: an answer is a stranger's. Whatever it holds, reading it ends in one
 * of the results below, and what is kept of it is no longer than the packet.
 *
 * Names and records are taken apart by the C library (ns_initparse and its
 * like, which have no state); programs link -lresolv.
 */

#include "lib/ipaddr.h"

/* The numbers are DNS's own. */
enum dns_type {
	DNS_A = 1,
	DNS_PTR = 12,
	DNS_MX = 15,
	DNS_TXT = 16,
	DNS_AAAA = 28,
};

struct dns_record {
	struct ipaddr ip;    /* A, AAAA */
	unsigned preference; /* MX */
	/*
	 * MX, PTR: a name without a dot at its end, empty for the root. What
	 * hosts' names do not have may be in it, escaped: `\.`, `\032`.
	 * TXT: the record's strings put together; any bytes.
	 */
	struct str text;
};

enum dns_result {
	DNS_PENDING, /* no answer yet */
	DNS_FOUND,   /* one record at least */
	DNS_NONE, /* there is no such name, or nothing of the type: for good */
	DNS_TROUBLE, /* could not ask: a later time may tell */
};

struct dns_answer {
	enum dns_result result;
	struct dns_record *records; /* those of the type that was asked */
	size_t count;
};

void dns_answer_free(struct dns_answer *answer);

#define DNS_QUESTION_MAX_BYTES (255 + 4)
#define DNS_QUERY_MAX_BYTES (12 + DNS_QUESTION_MAX_BYTES + 11)
/* What is asked for over UDP: passes every path in one piece. */
#define DNS_UDP_MAX_BYTES 1232

/* The question as packets have it: name, type, class. */
struct dns_question {
	enum dns_type type;
	size_t len;
	unsigned char bytes[DNS_QUESTION_MAX_BYTES];
};

/*
 * False when no such name can exist: an empty label, one over 63 bytes, 255
 * bytes in all. A dot at its end changes nothing.
 */
bool dns_question_make(struct dns_question *question, struct view name,
		       enum dns_type type) MUST_USE;

/* The packet for it; edns: with our size for answers. Returns its length. */
size_t dns_query_write(const struct dns_question *question, unsigned id,
		       bool edns, unsigned char to[DNS_QUERY_MAX_BYTES]);

enum dns_reply {
	DNS_REPLY_ANSWER,  /* *answer has it: DNS_FOUND or DNS_NONE */
	DNS_REPLY_FOREIGN, /* not to this question: go on waiting */
	DNS_REPLY_CUT,     /* there is more than fits: ask over TCP */
	DNS_REPLY_PLAIN,   /* the server wants no EDNS: ask without */
	DNS_REPLY_FAILED,  /* this server cannot tell, or talks nonsense */
};

/*
 * Read a packet that came for the question and id. Aliases (CNAME) are
 * followed within it. *answer must be empty, and is unless there is one.
 */
enum dns_reply dns_packet_read(const struct dns_question *question, unsigned id,
			       struct view packet,
			       struct dns_answer *answer) MUST_USE;

#endif
