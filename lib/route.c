#include "lib/route.h"

/* The next field of a route; the colons of a literal are its own. */
static struct view cut_field(struct view *rest)
{
	struct view field;
	size_t end = 0;

	if (rest->len && rest->p[0] == '[')
		end = view_find(*rest, ']');
	end += view_find(view_from(*rest, end), ':');
	field = view_first(*rest, end);
	*rest = end < rest->len ? view_from(*rest, end + 1)
				: view_make(NULL, 0);
	return field;
}

static bool parse_route(struct view entry, struct route *route)
{
	struct view port;
	uint64_t number;

	route->relay = view_trim(cut_field(&entry));
	route->port = ROUTE_SMTP_PORT;
	port = view_trim(cut_field(&entry));
	if (port.len == 0)
		return true;
	if (!view_u64(port, &number) || number == 0 || number > 65535)
		return false;
	route->port = (unsigned)number;
	return true;
}

/* The first entry whose host is exactly `key`. */
static bool find_entry(const struct control_list *routes, struct view key,
		       struct view *rest_of_entry)
{
	struct view rest = control_list_start(routes);
	struct view entry;

	while (control_list_next(&rest, &entry)) {
		struct view host = cut_field(&entry);

		if (!entry.p || !view_eq_nocase(host, key))
			continue;
		*rest_of_entry = entry;
		return true;
	}
	return false;
}

bool route_find(const struct control_list *routes, struct view host,
		struct route *route)
{
	struct view entry;

	*route = (struct route){ .port = ROUTE_SMTP_PORT };
	for (size_t i = 0; i <= host.len; i++)
		if (i == 0 || i == host.len || host.p[i] == '.')
			if (find_entry(routes, view_from(host, i), &entry))
				return parse_route(entry, route);
	return true;
}

bool route_literal(struct view text, struct ipaddr *ip)
{
	if (text.len < 2 || text.p[0] != '[' || text.p[text.len - 1] != ']')
		return false;
	text = view_first(view_from(text, 1), text.len - 2);
	if (view_starts_nocase(text, VIEW("IPv6:")))
		return ipaddr_parse(view_from(text, 5), ip) && ip->v6;
	return ipaddr_parse(text, ip) && !ip->v6;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The next word of a line of words; empty at its end. */
static struct view next_word(struct view *line)
{
	size_t len = 0;
	struct view word;

	*line = view_trim(*line);
	while (len < line->len && !is_blank(line->p[len]))
		len++;
	word = view_first(*line, len);
	*line = view_from(*line, len);
	return word;
}

size_t route_hosts(struct view text, struct view name, struct ipaddr *ips,
		   size_t max)
{
	size_t count = 0;

	while (text.p && count < max) {
		struct view line = view_cut(&text, '\n');
		struct view word;

		line = view_first(line, view_find(line, '#'));
		if (!ipaddr_parse(next_word(&line), &ips[count]))
			continue;
		while ((word = next_word(&line)).len)
			if (view_eq_nocase(word, name)) {
				count++;
				break;
			}
	}
	return count;
}
