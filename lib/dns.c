#include "lib/dns.h"

#include <assert.h>
#include <stdlib.h>

#include "lib/clock.h"
#include "lib/memory.h"

void dns_init(struct dns *dns, const struct dns_servers *servers,
	      int64_t deadline_ms)
{
	*dns = (struct dns){ .servers = servers, .deadline_ms = deadline_ms };
}

void dns_free(struct dns *dns)
{
	for (size_t i = 0; i < dns->count; i++) {
		dns_query_close(&dns->asked[i].query);
		dns_answer_free(&dns->asked[i].answer);
	}
	free(dns->asked);
	*dns = (struct dns){ 0 };
}

/* ---- turns: one server, asked once ---- */

static unsigned turn_count(const struct dns *dns)
{
	return dns->servers->attempts * (unsigned)dns->servers->count;
}

static const struct dns_server *server_of(const struct dns *dns,
					  const struct dns_asked *a)
{
	return &dns->servers->list[a->turn % dns->servers->count];
}

static int64_t turn_end(const struct dns *dns, const struct dns_asked *a,
			int64_t now)
{
	int64_t share = (dns->deadline_ms - now) / (turn_count(dns) - a->turn);

	if (share > dns->servers->timeout_ms)
		share = dns->servers->timeout_ms;
	return now + share;
}

static int open_query(struct dns *dns, struct dns_asked *a, enum dns_way way)
{
	a->turn_ends_ms = turn_end(dns, a, clock_mono_ms());
	return dns_query_open(&a->query, &a->question, server_of(dns, a), way);
}

/* From a->turn on, the first server that can be asked. */
static void start_turn(struct dns *dns, struct dns_asked *a)
{
	for (; a->turn < turn_count(dns); a->turn++)
		if (clock_mono_ms() >= dns->deadline_ms ||
		    open_query(dns, a, DNS_UDP) == 0)
			break;
	if (a->query.fd == -1)
		a->answer.result = DNS_TROUBLE;
}

static void next_turn(struct dns *dns, struct dns_asked *a)
{
	dns_query_close(&a->query);
	a->turn++;
	start_turn(dns, a);
}

/* Ask the same server in another way. */
static void ask_again(struct dns *dns, struct dns_asked *a, enum dns_way way)
{
	if (open_query(dns, a, way) == -1)
		next_turn(dns, a);
}

size_t dns_ask(struct dns *dns, struct view name, enum dns_type type)
{
	struct dns_asked *a;

	if (dns->count == dns->cap) {
		dns->cap = dns->cap * 2 + 4;
		dns->asked = memory_resize(dns->asked, dns->cap,
					   sizeof(*dns->asked));
	}
	a = &dns->asked[dns->count];
	*a = (struct dns_asked){ 0 };
	dns_query_init(&a->query);
	if (dns_question_make(&a->question, name, type))
		start_turn(dns, a);
	else
		a->answer.result = DNS_NONE;
	return dns->count++;
}

/* ---- waiting ---- */

const struct dns_answer *dns_answer(const struct dns *dns, size_t number)
{
	assert(number < dns->count);
	return &dns->asked[number].answer;
}

static bool is_pending(const struct dns_asked *a)
{
	return a->answer.result == DNS_PENDING;
}

bool dns_is_busy(const struct dns *dns)
{
	for (size_t i = 0; i < dns->count; i++)
		if (is_pending(&dns->asked[i]))
			return true;
	return false;
}

void dns_prepare(struct dns *dns, struct polls *polls, int64_t *deadline)
{
	for (size_t i = 0; i < dns->count; i++) {
		struct dns_asked *a = &dns->asked[i];

		if (!is_pending(a))
			continue;
		dns_query_prepare(&a->query, polls);
		polls_until(deadline, a->turn_ends_ms);
	}
}

static void act(struct dns *dns, struct dns_asked *a, const struct polls *polls)
{
	enum dns_way way = a->query.way;

	switch (dns_query_act(&a->query, &a->question, polls, &a->answer)) {
	case DNS_REPLY_ANSWER:
		break;
	case DNS_REPLY_FOREIGN:
		if (clock_mono_ms() >= a->turn_ends_ms)
			next_turn(dns, a);
		break;
	case DNS_REPLY_CUT:
		ask_again(dns, a, DNS_TCP);
		break;
	case DNS_REPLY_PLAIN:
		if (way == DNS_UDP)
			ask_again(dns, a, DNS_UDP_PLAIN);
		else
			next_turn(dns, a);
		break;
	case DNS_REPLY_FAILED:
		next_turn(dns, a);
		break;
	}
}

void dns_act(struct dns *dns, const struct polls *polls)
{
	for (size_t i = 0; i < dns->count; i++)
		if (is_pending(&dns->asked[i]))
			act(dns, &dns->asked[i], polls);
}

int dns_wait(struct dns *dns, struct polls *polls)
{
	int64_t deadline = POLLS_NEVER;

	polls_reset(polls);
	dns_prepare(dns, polls, &deadline);
	if (polls_wait(polls, deadline) == -1)
		return -1;
	dns_act(dns, polls);
	return 0;
}
