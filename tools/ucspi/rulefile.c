#include "tools/ucspi/rulefile.h"

#include "lib/ipaddr.h"

#define OCTET_MAX 255

/* What stands behind the address: `allow` or `deny`, then the end or a comma. */
static bool starts_instructions(struct view v)
{
	if (view_starts(v, VIEW("allow")))
		v = view_from(v, 5);
	else if (view_starts(v, VIEW("deny")))
		v = view_from(v, 4);
	else
		return false;
	return v.len == 0 || v.p[0] == ',';
}

/*
 * The colon that ends the address: the first one in front of instructions,
 * since IPv6 addresses are full of others.
 */
static bool find_colon(struct view line, size_t *colon)
{
	for (size_t i = 0; i < line.len; i++)
		if (line.p[i] == ':' &&
		    starts_instructions(view_from(line, i + 1))) {
			*colon = i;
			return true;
		}
	return false;
}

/* One `,NAME="value"`, the comma being cut off; any byte may quote. */
static bool parse_variable(struct view *rest, struct str *data)
{
	size_t equals = view_find(*rest, '=');
	struct view value;
	size_t end;

	if (equals == 0 || equals + 1 >= rest->len)
		return false;
	value = view_from(*rest, equals + 2);
	end = view_find(value, rest->p[equals + 1]);
	if (end == value.len)
		return false;
	str_append_byte(data, '+');
	str_append(data, view_first(*rest, equals + 1));
	str_append(data, view_first(value, end));
	str_append_byte(data, '\0');
	*rest = view_from(value, end + 1);
	return true;
}

static bool parse_instructions(struct view rest, struct str *data)
{
	bool deny = rest.p[0] == 'd';

	if (deny)
		str_append(data, VIEW("D\0"));
	rest = view_from(rest, deny ? 4 : 5);
	while (rest.len) {
		if (rest.p[0] != ',')
			return false;
		rest = view_from(rest, 1);
		if (!parse_variable(&rest, data))
			return false;
	}
	return true;
}

/* Digits in the middle of an address; too many are more than any octet. */
static unsigned scan_number(struct view v, size_t *at)
{
	unsigned number = 0;

	for (; *at < v.len && v.p[*at] >= '0' && v.p[*at] <= '9'; ++*at)
		if (number <= OCTET_MAX)
			number = number * 10 + (unsigned)(v.p[*at] - '0');
	return number;
}

/* `1.2.3.4-7` and `10.2-3.`: the octet before the first dash is counted up. */
static bool parse_range(struct view address, struct rule *rule)
{
	size_t dash = view_find(address, '-');
	size_t start = view_find_last(view_first(address, dash), '.');
	size_t at;

	start = start == dash ? 0 : start + 1;
	at = start;
	rule->from = scan_number(address, &at);
	if (at != dash)
		return false;
	at = dash + 1;
	rule->to = scan_number(address, &at);
	if (at != address.len && address.p[at] != '.')
		return false;
	if (rule->to > OCTET_MAX)
		rule->to = OCTET_MAX;
	rule->ranged = true;
	str_set(&rule->head, view_first(address, start));
	str_set(&rule->tail, view_from(address, at));
	return true;
}

/* An IPv4 network as prefixes that end in a dot, at most 256 of them. */
static void expand_network(const struct ipaddr *ip, struct rule *rule)
{
	unsigned whole = rule->bits / 8;
	unsigned left = rule->bits % 8;

	for (unsigned i = 0; i < whole; i++)
		str_appendf(&rule->head, i == 3 ? "%u" : "%u.", ip->bytes[i]);
	rule->loose = left != 0 || whole == 0;
	if (!rule->loose)
		return;
	rule->ranged = true;
	rule->from = ip->bytes[whole];
	rule->to = rule->from + (0xffU >> left);
	if (whole < 3)
		str_append_byte(&rule->tail, '.');
}

/* `192.0.2.0/25`, `2001:db8::/32`; with host bits they are an error. */
static bool parse_network(struct view address, struct rule *rule)
{
	struct ipaddr ip;

	if (!ipaddr_parse_network(address, &ip, &rule->bits))
		return false;
	if (!ip.v6) {
		expand_network(&ip, rule);
		return true;
	}
	ipaddr_format(&rule->head, &ip);
	rule->v6_network = rule->bits < 128;
	if (rule->v6_network)
		str_appendf(&rule->head, "/%u", rule->bits);
	return true;
}

/* Append an IPv6 address in the one form in which it is looked up. */
static bool append_v6(struct str *head, struct view text)
{
	struct ipaddr ip;

	if (!ipaddr_parse(text, &ip))
		return false;
	ipaddr_format(head, &ip);
	return true;
}

static bool has_upper(struct view v)
{
	for (size_t i = 0; i < v.len; i++)
		if (v.p[i] >= 'A' && v.p[i] <= 'Z')
			return true;
	return false;
}

/* With a user: `joe@192.0.2.1`, `joe@2001:db8::1`, `joe@=host`. */
static bool parse_user(struct view address, struct rule *rule)
{
	size_t at = view_find_last(address, '@');
	struct view host = view_from(address, at + 1);

	str_set(&rule->head, view_first(address, at + 1));
	if (view_has(host, ':'))
		return append_v6(&rule->head, host);
	str_append(&rule->head, host);
	rule->lower = view_starts(host, VIEW("=")) && has_upper(host);
	rule->to = rule->lower ? 1 : 0;
	return true;
}

static bool parse_address(struct view address, struct rule *rule)
{
	if (view_has(address, '@'))
		return parse_user(address, rule);
	if (view_has(address, '=')) {
		str_set(&rule->head, address);
		/* Host names are looked up in lower case. */
		rule->lower = has_upper(address);
		rule->to = rule->lower ? 1 : 0;
		return true;
	}
	if (view_has(address, '/'))
		return parse_network(address, rule);
	if (view_has(address, ':'))
		return append_v6(&rule->head, address);
	if (view_has(address, '-'))
		return parse_range(address, rule);
	str_set(&rule->head, address);
	return true;
}

enum rule_result rule_parse(struct view line, struct rule *rule)
{
	size_t colon;

	*rule = (struct rule){ 0 };
	line = view_trim_end(line);
	if (line.len == 0 || line.p[0] == '#')
		return RULE_NONE;
	if (view_has(line, '\0'))
		return RULE_BAD;
	if (!view_has(line, ':'))
		return RULE_NO_COLON;
	if (!find_colon(line, &colon))
		return RULE_BAD;
	rule->address = view_first(line, colon);
	if (!parse_instructions(view_from(line, colon + 1), &rule->data) ||
	    !parse_address(rule->address, rule))
		return RULE_BAD;
	return RULE_OK;
}

static void lower_host(struct str *key)
{
	for (size_t i = view_find(str_view(key), '='); i < key->len; i++)
		key->p[i] = ascii_lower(key->p[i]);
}

/* Unranged, 0 is the key itself and 1 its copy in lower case. */
bool rule_next_key(struct rule *rule, struct str *key)
{
	if (rule->from > rule->to)
		return false;
	str_set(key, str_view(&rule->head));
	if (rule->ranged)
		str_append_u64(key, rule->from);
	str_append(key, str_view(&rule->tail));
	if (rule->lower && rule->from == 1)
		lower_host(key);
	rule->from++;
	return true;
}

void rule_free(struct rule *rule)
{
	str_free(&rule->data);
	str_free(&rule->head);
	str_free(&rule->tail);
	*rule = (struct rule){ 0 };
}
