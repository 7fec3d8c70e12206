#include "remote/exchangers.h"

#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/die.h"
#include "lib/memory.h"
#include "lib/random.h"

#define FAMILIES 2

/* One that DNS names, and what became of the questions for its addresses. */
struct named {
	struct view name; /* of the answer it came with */
	unsigned preference;
	uint32_t lot; /* decides between equals */
	bool is_literal;
	struct ipaddr literal;
	size_t questions[FAMILIES];
};

struct search {
	struct exchangers *e;
	const struct ownaddress *own; /* NULL: ours are welcome */
	struct dns dns;               /* of the addresses */
	struct named hosts[EXCHANGERS_MAX_HOSTS];
	size_t host_count;
	bool in_trouble; /* a host was left out since nobody could say */
	bool is_ourselves;
};

/* ---- asking ---- */

static bool ask_all(struct dns *dns)
{
	struct polls polls = { 0 };
	bool fine = true;

	while (fine && dns_is_busy(dns))
		fine = dns_wait(dns, &polls) == 0;
	polls_free(&polls);
	return fine;
}

/* Read once: where resolv.conf has changed, qmail-rspawn starts another. */
static bool have_servers(struct exchangers *e)
{
	if (e->has_servers)
		return true;
	if (dns_servers_load(&e->servers) == -1)
		warn_errno("cannot read /etc/resolv.conf");
	else
		e->has_servers = true;
	return e->has_servers;
}

static void begin(const struct exchangers *e, struct dns *dns)
{
	dns_init(dns, &e->servers, clock_mono_ms() + EXCHANGERS_TIME_MS / 2);
}

/* ---- the hosts ---- */

static uint32_t draw_lot(void)
{
	uint32_t lot;

	return random_fill(&lot, sizeof(lot)) == -1 ? 0 : lot;
}

static int compare(const void *a, const void *b)
{
	const struct named *first = a;
	const struct named *second = b;

	if (first->preference != second->preference)
		return first->preference < second->preference ? -1 : 1;
	if (first->lot != second->lot)
		return first->lot < second->lot ? -1 : 1;
	return 0;
}

static struct named name_host(struct view name, unsigned preference)
{
	struct named host = { .name = name, .preference = preference };

	host.lot = draw_lot();
	/* An address is no name, and is found there often enough. */
	host.is_literal = ipaddr_parse(name, &host.literal);
	return host;
}

/* The best of them, in their order. False when all say that there is none. */
static bool choose_hosts(struct search *s, const struct dns_answer *answer)
{
	struct named *all = memory_zeroed(answer->count, sizeof(*all));
	size_t count = 0;

	for (size_t i = 0; i < answer->count; i++) {
		const struct dns_record *record = &answer->records[i];

		if (record->text.len)
			all[count++] = name_host(str_view(&record->text),
						 record->preference);
	}
	qsort(all, count, sizeof(*all), compare);
	s->host_count =
		count < EXCHANGERS_MAX_HOSTS ? count : EXCHANGERS_MAX_HOSTS;
	for (size_t i = 0; i < s->host_count; i++)
		s->hosts[i] = all[i];
	free(all);
	return count > 0;
}

/* ---- their addresses ---- */

static bool ask_for_addresses(struct search *s)
{
	static const enum dns_type types[FAMILIES] = { DNS_A, DNS_AAAA };

	begin(s->e, &s->dns);
	for (size_t i = 0; i < s->host_count; i++) {
		struct named *host = &s->hosts[i];

		if (host->is_literal)
			continue;
		for (size_t f = 0; f < FAMILIES; f++)
			host->questions[f] =
				dns_ask(&s->dns, host->name, types[f]);
	}
	return ask_all(&s->dns);
}

static const struct dns_answer *
answer_of(const struct search *s, const struct named *host, size_t family)
{
	return dns_answer(&s->dns, host->questions[family]);
}

/* Address number n of a host, the families in turn; NULL behind the last. */
static const struct ipaddr *address_of(const struct search *s,
				       const struct named *host, size_t n)
{
	const struct dns_answer *first;
	const struct dns_answer *second;
	size_t both;

	if (host->is_literal)
		return n == 0 ? &host->literal : NULL;
	first = answer_of(s, host, host->lot % FAMILIES);
	second = answer_of(s, host, (host->lot + 1) % FAMILIES);
	both = first->count < second->count ? first->count : second->count;
	if (n >= first->count + second->count)
		return NULL;
	if (n < 2 * both)
		return n % 2 == 0 ? &first->records[n / 2].ip
				  : &second->records[n / 2].ip;
	return first->count > both ? &first->records[n - both].ip
				   : &second->records[n - both].ip;
}

static bool has_ours(const struct search *s, const struct named *host)
{
	const struct ipaddr *ip;

	for (size_t n = 0; (ip = address_of(s, host, n)) != NULL; n++)
		if (ownaddress_is(s->own, ip))
			return true;
	return false;
}

/* Leave out ourselves, and who is no better. */
static void leave_out_ours(struct search *s)
{
	for (size_t i = 0; i < s->host_count; i++) {
		unsigned limit = s->hosts[i].preference;

		if (!has_ours(s, &s->hosts[i]))
			continue;
		s->is_ourselves = true;
		s->host_count = i;
		while (s->host_count > 0 &&
		       s->hosts[s->host_count - 1].preference == limit)
			s->host_count--;
		return;
	}
}

static bool is_unknown(const struct search *s, const struct named *host)
{
	for (size_t f = 0; f < FAMILIES; f++)
		if (answer_of(s, host, f)->result == DNS_TROUBLE)
			return true;
	return false;
}

static void take_addresses(struct search *s)
{
	struct exchangers *e = s->e;

	for (size_t i = 0; i < s->host_count; i++) {
		const struct named *host = &s->hosts[i];
		const struct ipaddr *ip;
		size_t n;

		for (n = 0; (ip = address_of(s, host, n)) != NULL; n++)
			if (e->count < EXCHANGERS_MAX)
				e->ips[e->count++] = *ip;
		if (n == 0 && is_unknown(s, host))
			s->in_trouble = true;
	}
}

static enum exchangers_result find_addresses(struct search *s)
{
	enum exchangers_result result = EXCHANGERS_NO_ADDRESS;

	if (!ask_for_addresses(s)) {
		dns_free(&s->dns);
		return EXCHANGERS_TROUBLE;
	}
	if (s->own)
		leave_out_ours(s);
	take_addresses(s);
	if (s->e->count)
		result = EXCHANGERS_FOUND;
	else if (s->in_trouble)
		result = EXCHANGERS_TROUBLE;
	else if (s->is_ourselves)
		result = EXCHANGERS_OURSELVES;
	dns_free(&s->dns);
	return result;
}

/* ---- all of it ---- */

static enum exchangers_result find_for_host(struct search *s, struct view host)
{
	enum exchangers_result result;

	s->hosts[0] = (struct named){ .name = host, .lot = draw_lot() };
	s->host_count = 1;
	result = find_addresses(s);
	return result == EXCHANGERS_NO_ADDRESS ? EXCHANGERS_NO_HOST : result;
}

static enum exchangers_result find(struct search *s, struct view host)
{
	enum exchangers_result result = EXCHANGERS_TROUBLE;
	const struct dns_answer *answer;
	struct dns dns;
	size_t question;

	begin(s->e, &dns);
	question = dns_ask(&dns, host, DNS_MX);
	if (!ask_all(&dns)) {
		dns_free(&dns);
		return EXCHANGERS_TROUBLE;
	}
	answer = dns_answer(&dns, question);
	if (answer->result == DNS_NONE)
		result = find_for_host(s, host);
	else if (answer->result == DNS_FOUND)
		result = choose_hosts(s, answer) ? find_addresses(s)
						 : EXCHANGERS_NO_MAIL;
	dns_free(&dns);
	return result;
}

/* Something that is another where control/ says something else of us. */
static void describe_own(const struct ownaddress *own, struct str *to)
{
	if (!own)
		return;
	str_append(to, str_view(&own->more.entries));
	str_append_byte(to, '/');
	str_append(to, str_view(&own->never.entries));
}

/* For this host, by what is said of us now; an empty one has nothing kept. */
static bool is_kept(const struct exchangers *e, struct view host,
		    struct view own)
{
	return e->host.len && view_eq_nocase(str_view(&e->host), host) &&
	       view_eq(str_view(&e->own), own) &&
	       clock_mono_ms() < e->kept_until_ms;
}

static void keep(struct exchangers *e, struct view host, struct view own)
{
	str_set(&e->host, host);
	str_set(&e->own, own);
	e->kept_until_ms = clock_mono_ms() + EXCHANGERS_KEPT_MS;
}

/* own: NULL for a relay. */
static enum exchangers_result look_up(struct exchangers *e, struct view host,
				      const struct ownaddress *own)
{
	struct search s = { .e = e, .own = own };
	enum exchangers_result result = EXCHANGERS_FOUND;
	struct str described = { 0 };

	describe_own(own, &described);
	if (!is_kept(e, host, str_view(&described))) {
		exchangers_forget(e);
		if (!have_servers(e))
			result = EXCHANGERS_TROUBLE;
		else
			result = own ? find(&s, host) : find_for_host(&s, host);
		if (result == EXCHANGERS_FOUND)
			keep(e, host, str_view(&described));
	}
	str_free(&described);
	return result;
}

enum exchangers_result exchangers_find(struct exchangers *e, struct view host,
				       const struct ownaddress *own)
{
	return look_up(e, host, own);
}

enum exchangers_result exchangers_of_relay(struct exchangers *e,
					   struct view relay)
{
	return look_up(e, relay, NULL);
}

void exchangers_set(struct exchangers *e, const struct ipaddr *ips,
		    size_t count)
{
	exchangers_forget(e);
	e->count = count < EXCHANGERS_MAX ? count : EXCHANGERS_MAX;
	memcpy(e->ips, ips, e->count * sizeof(*ips));
}

void exchangers_forget(struct exchangers *e)
{
	e->count = 0;
	str_reset(&e->host);
}

void exchangers_free(struct exchangers *e)
{
	str_free(&e->host);
	str_free(&e->own);
	*e = (struct exchangers){ 0 };
}
