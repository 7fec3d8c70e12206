#include "tools/ucspi/blocklists.h"

#include <stdlib.h>

#include "lib/memory.h"

/* ---- the lists ---- */

bool blocklists_add(struct blocklists *lists, const struct blocklist *list)
{
	struct view text = list->base;
	struct view base = view_cut(&text, ':');
	struct dns_question question;
	struct blocklist *new;

	if (!dns_question_make(&question, base, DNS_A) ||
	    (text.p && (text.len == 0 || list->allows)))
		return false;
	if (lists->count == lists->cap) {
		lists->cap = lists->cap * 2 + 8;
		lists->list = memory_resize(lists->list, lists->cap,
					    sizeof(*lists->list));
	}
	new = &lists->list[lists->count++];
	*new = *list;
	new->base = base;
	new->text = text;
	return true;
}

void blocklists_free(struct blocklists *lists)
{
	for (size_t i = 0; i < lists->count; i++)
		str_free(&lists->list[i].said);
	free(lists->list);
	*lists = (struct blocklists){ 0 };
}

/* ---- asking ---- */

/* Backwards, as names are: 4.3.2.1. of 1.2.3.4, and nibbles (RFC 3596). */
static void append_reversed(struct str *name, const struct ipaddr *ip)
{
	for (size_t i = ipaddr_bits(ip) / 8; i-- > 0;)
		if (ip->v6)
			str_appendf(name, "%x.%x.", ip->bytes[i] & 15U,
				    ip->bytes[i] >> 4U);
		else
			str_appendf(name, "%u.", ip->bytes[i]);
}

enum dns_type blocklists_query(const struct blocklist *list,
			       const struct ipaddr *ip, struct str *name)
{
	append_reversed(name, ip);
	str_append(name, list->base);
	return list->allows || list->text.p ? DNS_A : DNS_TXT;
}

/* Our own words, with the address for each %IP%. */
static void append_text(struct str *to, struct view text, struct view ip_text)
{
	const struct view mark = VIEW("%IP%");

	while (text.len)
		if (view_starts(text, mark)) {
			str_append(to, ip_text);
			text = view_from(text, mark.len);
		} else {
			str_append_byte(to, text.p[0]);
			text = view_from(text, 1);
		}
}

static void append_records(struct str *to, const struct dns_answer *answer)
{
	for (size_t i = 0; i < answer->count; i++) {
		if (to->len && answer->records[i].text.len)
			str_append_byte(to, ' ');
		str_append(to, str_view(&answer->records[i].text));
	}
}

void blocklists_note(struct blocklist *list, const struct dns_answer *answer,
		     struct view ip_text)
{
	if (list->result != DNS_PENDING)
		return;
	list->result = answer->result;
	if (list->result != DNS_FOUND || list->allows)
		return;
	if (list->text.p)
		append_text(&list->said, list->text, ip_text);
	else
		append_records(&list->said, answer);
	/* One that says nothing has nobody in it. */
	if (list->said.len == 0)
		list->result = DNS_NONE;
}

void blocklists_fail(struct blocklists *lists)
{
	for (size_t i = 0; i < lists->count; i++)
		lists->list[i].result = DNS_TROUBLE;
}

/* ---- judging ---- */

struct judgement {
	unsigned limit;
	uint64_t weight; /* so far */
	bool not_for_good;
	enum verdict verdict;
};

static void count(struct judgement *j, const struct blocklist *list,
		  struct view said, struct str *text)
{
	j->weight += list->weight ? list->weight : j->limit;
	if (j->weight < j->limit)
		return;
	j->verdict = list->is_final && !j->not_for_good ? VERDICT_REFUSE
							: VERDICT_DEFER;
	str_set(text, said);
}

/* Who could be innocent is not refused for good. */
static void fail(struct judgement *j, const struct blocklist *list,
		 struct str *text)
{
	j->not_for_good = true;
	if (list->allows && !list->fails_closed)
		j->verdict = VERDICT_PASS;
	else if (!list->allows && list->fails_closed)
		count(j, list, VIEW("temporary RBL lookup error"), text);
}

enum verdict blocklists_judge(const struct blocklists *lists, struct str *text)
{
	struct judgement j = { .limit = lists->limit };

	str_reset(text);
	for (size_t i = 0; i < lists->count; i++) {
		const struct blocklist *list = &lists->list[i];

		switch (list->result) {
		case DNS_PENDING:
			return VERDICT_PENDING;
		case DNS_FOUND:
			if (list->allows)
				return VERDICT_PASS;
			count(&j, list, str_view(&list->said), text);
			break;
		case DNS_NONE:
			break;
		case DNS_TROUBLE:
			fail(&j, list, text);
			break;
		}
		if (j.verdict != VERDICT_PENDING)
			return j.verdict;
	}
	return VERDICT_PASS;
}
