#include "lib/dns_packet.h"

#include <arpa/nameser.h>
#include <resolv.h>
#include <stdlib.h>

#include "lib/memory.h"

#define ALIASES_MAX 16

/* The header: id, flags, and how many records each section has. */
#define FLAGS_AT 2
#define QUESTIONS_AT 4
#define HEADER_BYTES 12

#define FLAG_RESPONSE 0x8000U
#define FLAGS_OPCODE 0x7800U
#define FLAG_AUTHORITATIVE 0x0400U
#define FLAG_TRUNCATED 0x0200U
#define FLAG_RECURSION_WANTED 0x0100U
#define FLAG_RECURSION_AVAILABLE 0x0080U
#define FLAGS_RCODE 0x000fU

void dns_answer_free(struct dns_answer *answer)
{
	for (size_t i = 0; i < answer->count; i++)
		str_free(&answer->records[i].text);
	free(answer->records);
	*answer = (struct dns_answer){ 0 };
}

/* ---- questions ---- */

bool dns_question_make(struct dns_question *q, struct view name,
		       enum dns_type type)
{
	char text[NS_MAXDNAME];
	int len;

	if (name.len == 0 || name.len >= sizeof(text) || view_has(name, '\0'))
		return false;
	memcpy(text, name.p, name.len);
	text[name.len] = '\0';
	len = ns_name_compress(text, q->bytes, sizeof(q->bytes) - 4, NULL,
			       NULL);
	if (len == -1)
		return false;
	ns_put16(type, q->bytes + len);
	ns_put16(ns_c_in, q->bytes + len + 2);
	q->len = (size_t)len + 4;
	q->type = type;
	return true;
}

size_t dns_query_write(const struct dns_question *q, unsigned id, bool edns,
		       unsigned char to[DNS_QUERY_MAX_BYTES])
{
	/* The root as its name, then type, size, and nothing else. */
	static const unsigned char option[] = {
		0,
		0,
		ns_t_opt,
		DNS_UDP_MAX_BYTES >> 8,
		DNS_UDP_MAX_BYTES & 255,
		0,
		0,
		0,
		0,
		0,
		0,
	};
	size_t len = HEADER_BYTES + q->len;

	memset(to, 0, HEADER_BYTES);
	ns_put16(id, to);
	ns_put16(FLAG_RECURSION_WANTED, to + FLAGS_AT);
	ns_put16(1, to + QUESTIONS_AT);
	memcpy(to + HEADER_BYTES, q->bytes, q->len);
	if (!edns)
		return len;
	ns_put16(1, to + QUESTIONS_AT + 6);
	memcpy(to + len, option, sizeof(option));
	return len + sizeof(option);
}

/* ---- answers: whose, and of what kind ---- */

static unsigned flags_of(struct view packet)
{
	return ns_get16((const unsigned char *)packet.p + FLAGS_AT);
}

/* Names come back in any case, but no length of a label is a letter. */
static bool has_question(const struct dns_question *q, struct view packet)
{
	struct view theirs = view_from(packet, HEADER_BYTES);
	struct view ours = view_make(q->bytes, q->len);
	size_t name_len = q->len - 4;

	return theirs.len >= ours.len &&
	       view_eq_nocase(view_first(theirs, name_len),
			      view_first(ours, name_len)) &&
	       view_eq(view_first(view_from(theirs, name_len), 4),
		       view_from(ours, name_len));
}

static bool is_error(unsigned flags)
{
	unsigned rcode = flags & FLAGS_RCODE;

	return rcode != ns_r_noerror && rcode != ns_r_nxdomain;
}

/* An error may come without the question. */
static bool is_ours(const struct dns_question *q, unsigned id,
		    struct view packet)
{
	const unsigned char *p = (const unsigned char *)packet.p;
	unsigned flags;
	unsigned questions;

	if (packet.len < HEADER_BYTES || ns_get16(p) != id)
		return false;
	flags = flags_of(packet);
	if ((flags & (FLAG_RESPONSE | FLAGS_OPCODE)) != FLAG_RESPONSE)
		return false;
	questions = ns_get16(p + QUESTIONS_AT);
	if (questions == 0)
		return is_error(flags);
	return questions == 1 && has_question(q, packet);
}

/* ---- records ---- */

static bool read_ip(const ns_rr *rr, struct ipaddr *ip)
{
	bool v6 = ns_rr_type(*rr) == ns_t_aaaa;

	if (ns_rr_rdlen(*rr) != (v6 ? 16 : 4))
		return false;
	ipaddr_from_bytes(ip, ns_rr_rdata(*rr), v6);
	return true;
}

/* The name that is all of the record's data behind `at`. */
static bool read_name(const ns_msg *msg, const ns_rr *rr, size_t at,
		      struct str *name)
{
	char text[NS_MAXDNAME];
	size_t len = ns_rr_rdlen(*rr);

	if (at >= len || dn_expand(ns_msg_base(*msg), ns_msg_end(*msg),
				   ns_rr_rdata(*rr) + at, text,
				   sizeof(text)) != (int)(len - at))
		return false;
	str_set_c(name, text);
	return true;
}

static bool read_mx(const ns_msg *msg, const ns_rr *rr, struct dns_record *to)
{
	if (ns_rr_rdlen(*rr) < 3)
		return false;
	to->preference = ns_get16(ns_rr_rdata(*rr));
	return read_name(msg, rr, 2, &to->text);
}

/* Strings with their lengths before them, one at least. */
static bool read_txt(const ns_rr *rr, struct str *text)
{
	struct view rest = view_make(ns_rr_rdata(*rr), ns_rr_rdlen(*rr));

	if (rest.len == 0)
		return false;
	while (rest.len) {
		size_t len = (unsigned char)rest.p[0];

		rest = view_from(rest, 1);
		if (len > rest.len)
			return false;
		str_append(text, view_first(rest, len));
		rest = view_from(rest, len);
	}
	return true;
}

static bool read_data(const ns_msg *msg, const ns_rr *rr, enum dns_type type,
		      struct dns_record *to)
{
	switch (type) {
	case DNS_A:
	case DNS_AAAA:
		return read_ip(rr, &to->ip);
	case DNS_PTR:
		return read_name(msg, rr, 0, &to->text);
	case DNS_MX:
		return read_mx(msg, rr, to);
	case DNS_TXT:
		return read_txt(rr, &to->text);
	}
	return false;
}

/* ---- the answer section ---- */

/* The record belongs to this name and is of this type. */
static bool is_of(const ns_rr *rr, const struct str *name, unsigned type)
{
	return ns_rr_class(*rr) == ns_c_in && ns_rr_type(*rr) == type &&
	       view_eq_nocase(view_of(ns_rr_name(*rr)), str_view(name));
}

enum alias {
	ALIAS_FOUND,
	ALIAS_NONE,
	ALIAS_BROKEN,
};

/* What *name is another name for, in its place. */
static enum alias find_alias(ns_msg *msg, struct str *name)
{
	for (int i = 0; i < ns_msg_count(*msg, ns_s_an); i++) {
		ns_rr rr;

		if (ns_parserr(msg, ns_s_an, i, &rr) == -1)
			return ALIAS_BROKEN;
		if (is_of(&rr, name, ns_t_cname))
			return read_name(msg, &rr, 0, name) ? ALIAS_FOUND
							    : ALIAS_BROKEN;
	}
	return ALIAS_NONE;
}

/* False when it is broken, or a circle. */
static bool follow_aliases(ns_msg *msg, struct str *name)
{
	for (int i = 0; i < ALIASES_MAX; i++)
		switch (find_alias(msg, name)) {
		case ALIAS_FOUND:
			break;
		case ALIAS_NONE:
			return true;
		case ALIAS_BROKEN:
			return false;
		}
	return false;
}

static bool collect(ns_msg *msg, const struct str *name, enum dns_type type,
		    struct dns_answer *answer)
{
	size_t room = ns_msg_count(*msg, ns_s_an);

	answer->records = memory_zeroed(room + 1, sizeof(*answer->records));
	for (int i = 0; i < (int)room; i++) {
		ns_rr rr;

		if (ns_parserr(msg, ns_s_an, i, &rr) == -1)
			return false;
		if (is_of(&rr, name, type) &&
		    !read_data(msg, &rr, type,
			       &answer->records[answer->count++]))
			return false;
	}
	return true;
}

static bool read_answer(ns_msg *msg, enum dns_type type,
			struct dns_answer *answer)
{
	struct str name = { 0 };
	bool is_sound;
	ns_rr rr;

	if (ns_parserr(msg, ns_s_qd, 0, &rr) == -1)
		return false;
	str_set_c(&name, ns_rr_name(rr));
	is_sound =
		follow_aliases(msg, &name) && collect(msg, &name, type, answer);
	str_free(&name);
	return is_sound;
}

/* A server that neither knows nor asks others has said nothing. */
static bool is_referral(const ns_msg *msg, unsigned flags)
{
	return ns_msg_count(*msg, ns_s_an) == 0 &&
	       !(flags & (FLAG_AUTHORITATIVE | FLAG_RECURSION_AVAILABLE));
}

enum dns_reply dns_packet_read(const struct dns_question *q, unsigned id,
			       struct view packet, struct dns_answer *answer)
{
	unsigned flags;
	ns_msg msg;

	if (!is_ours(q, id, packet))
		return DNS_REPLY_FOREIGN;
	flags = flags_of(packet);
	if ((flags & FLAGS_RCODE) == ns_r_formerr ||
	    (flags & FLAGS_RCODE) == ns_r_notimpl)
		return DNS_REPLY_PLAIN;
	if (is_error(flags))
		return DNS_REPLY_FAILED;
	if (flags & FLAG_TRUNCATED)
		return DNS_REPLY_CUT;
	if (ns_initparse((const unsigned char *)packet.p, (int)packet.len,
			 &msg) == -1)
		return DNS_REPLY_FAILED;
	if ((flags & FLAGS_RCODE) == ns_r_nxdomain) {
		answer->result = DNS_NONE;
		return DNS_REPLY_ANSWER;
	}
	if (is_referral(&msg, flags) || !read_answer(&msg, q->type, answer)) {
		dns_answer_free(answer);
		return DNS_REPLY_FAILED;
	}
	answer->result = answer->count ? DNS_FOUND : DNS_NONE;
	return DNS_REPLY_ANSWER;
}
