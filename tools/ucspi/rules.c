#include "tools/ucspi/rules.h"

#include "lib/ipaddr.h"

/* One search: where, and where the answer goes. */
struct search {
	struct cdbmap *map;
	struct str *key;
	struct str *data;
};

/* Try the key a followed by b. */
static enum cdbmap_result try_key(const struct search *s, struct view a,
				  struct view b)
{
	str_set(s->key, a);
	str_append(s->key, b);
	return cdbmap_find(s->map, str_view(s->key), s->data);
}

/* info@ip, then info@=host. */
static enum cdbmap_result try_info(const struct search *s,
				   const struct rules_peer *peer)
{
	enum cdbmap_result result;
	struct str start = { 0 };

	str_append(&start, peer->info);
	str_append_byte(&start, '@');
	result = try_key(s, str_view(&start), peer->ip);
	if (result == CDBMAP_MISSING && peer->host.p) {
		str_append_byte(&start, '=');
		result = try_key(s, str_view(&start), peer->host);
	}
	str_free(&start);
	return result;
}

/* 10.0.0. then 10.0. then 10. */
static enum cdbmap_result try_dotted(const struct search *s, struct view ip)
{
	enum cdbmap_result result = CDBMAP_MISSING;

	while (result == CDBMAP_MISSING) {
		size_t dot = view_find_last(ip, '.');

		if (dot == ip.len)
			break;
		result = try_key(s, view_first(ip, dot + 1), VIEW(""));
		ip = view_first(ip, dot);
	}
	return result;
}

static enum cdbmap_result try_network(const struct search *s, struct ipaddr ip,
				      unsigned bits)
{
	enum cdbmap_result result;
	struct str network = { 0 };

	ipaddr_mask(&ip, bits);
	ipaddr_format(&network, &ip);
	str_append_byte(&network, '/');
	str_append_u64(&network, bits);
	result = try_key(s, str_view(&network), VIEW(""));
	str_free(&network);
	return result;
}

/* The IPv6 networks around ip, in the lengths that the file has. */
static enum cdbmap_result try_networks(const struct search *s,
				       const struct ipaddr *ip)
{
	struct str lengths = { 0 };
	enum cdbmap_result result;
	struct view rest;
	uint64_t bits;

	result = cdbmap_find(s->map, RULES_LENGTHS_KEY, &lengths);
	if (result == CDBMAP_FOUND) {
		result = CDBMAP_MISSING;
		rest = str_view(&lengths);
		while (rest.p && result == CDBMAP_MISSING)
			if (view_u64(view_cut(&rest, ' '), &bits) &&
			    bits <= 128)
				result = try_network(s, *ip, (unsigned)bits);
	}
	str_free(&lengths);
	return result;
}

/* =.a.b then =.b */
static enum cdbmap_result try_domains(const struct search *s, struct view host)
{
	enum cdbmap_result result = CDBMAP_MISSING;

	while (host.len && result == CDBMAP_MISSING) {
		if (host.p[0] == '.')
			result = try_key(s, VIEW("="), host);
		host = view_from(host, 1);
	}
	return result;
}

enum cdbmap_result rules_find(struct cdbmap *map, const struct rules_peer *peer,
			      struct str *key, struct str *data)
{
	const struct search s = { map, key, data };
	enum cdbmap_result result = CDBMAP_MISSING;
	struct ipaddr ip;

	if (peer->info.p)
		result = try_info(&s, peer);
	if (result == CDBMAP_MISSING)
		result = try_key(&s, peer->ip, VIEW(""));
	if (result == CDBMAP_MISSING && peer->host.p)
		result = try_key(&s, VIEW("="), peer->host);
	if (result == CDBMAP_MISSING)
		result = try_dotted(&s, peer->ip);
	if (result == CDBMAP_MISSING && ipaddr_parse(peer->ip, &ip) && ip.v6)
		result = try_networks(&s, &ip);
	if (result == CDBMAP_MISSING && peer->host.p)
		result = try_domains(&s, peer->host);
	if (result == CDBMAP_MISSING && peer->host.p)
		result = try_key(&s, VIEW("="), VIEW(""));
	if (result == CDBMAP_MISSING)
		result = try_key(&s, VIEW(""), VIEW(""));
	return result;
}

/* The next instruction; what no NUL ends is none. */
static bool next_instruction(struct view *rest, struct view *instruction)
{
	size_t end = view_find(*rest, '\0');

	if (end == rest->len)
		return false;
	*instruction = view_first(*rest, end);
	*rest = view_from(*rest, end + 1);
	return true;
}

bool rules_deny(struct view data)
{
	struct view instruction;

	while (next_instruction(&data, &instruction))
		if (view_starts(instruction, VIEW("D")))
			return true;
	return false;
}

bool rules_next_variable(struct view *rest, struct view *name,
			 struct view *value)
{
	struct view instruction;

	while (next_instruction(rest, &instruction)) {
		size_t equals = view_find(instruction, '=');

		if (!view_starts(instruction, VIEW("+")) || equals < 2 ||
		    equals == instruction.len)
			continue;
		*name = view_from(view_first(instruction, equals), 1);
		*value = view_from(instruction, equals + 1);
		return true;
	}
	return false;
}
