#include "lib/dns_servers.h"

#include <fcntl.h>
#include <stdlib.h>

#include "lib/control.h"

#define RESOLV_CONF "/etc/resolv.conf"
#define RESOLV_MAX_BYTES 65536

/* resolv.conf(5): defaults and bounds of the C library. */
#define TIMEOUT_DEFAULT_S 5
#define TIMEOUT_MAX_S 30
#define ATTEMPTS_DEFAULT 2
#define ATTEMPTS_MAX 5

static void reset(struct dns_servers *s)
{
	*s = (struct dns_servers){
		.timeout_ms = TIMEOUT_DEFAULT_S * 1000,
		.attempts = ATTEMPTS_DEFAULT,
	};
}

static void add(struct dns_servers *s, const struct ipaddr *ip, unsigned port)
{
	if (s->count < DNS_SERVERS_MAX)
		s->list[s->count++] =
			(struct dns_server){ .ip = *ip, .port = port };
}

static void add_this_host(struct dns_servers *s)
{
	struct ipaddr ip;

	if (ipaddr_parse(VIEW("127.0.0.1"), &ip))
		add(s, &ip, DNS_PORT);
}

/* The next word, with blanks and tabs around it. */
static struct view next_word(struct view *rest)
{
	struct view word;
	size_t len = 0;

	*rest = view_trim(*rest);
	while (len < rest->len && rest->p[len] != ' ' && rest->p[len] != '\t')
		len++;
	word = view_first(*rest, len);
	*rest = view_from(*rest, len);
	return word;
}

/* ---- resolv.conf ---- */

/* `name:number` */
static bool is_option(struct view word, struct view name, unsigned max,
		      unsigned *value)
{
	uint64_t number;

	if (!view_starts(word, name) ||
	    !view_u64(view_from(word, name.len), &number))
		return false;
	*value = number > max ? max : (unsigned)number;
	if (*value == 0)
		*value = 1;
	return true;
}

static void read_option(struct dns_servers *s, struct view word)
{
	unsigned value;

	if (is_option(word, VIEW("timeout:"), TIMEOUT_MAX_S, &value))
		s->timeout_ms = (int)value * 1000;
	else if (is_option(word, VIEW("attempts:"), ATTEMPTS_MAX, &value))
		s->attempts = value;
}

static void read_line(struct dns_servers *s, struct view line)
{
	struct view keyword = next_word(&line);
	struct ipaddr ip;

	if (view_eq(keyword, VIEW("nameserver"))) {
		if (ipaddr_parse(next_word(&line), &ip))
			add(s, &ip, DNS_PORT);
	} else if (view_eq(keyword, VIEW("options"))) {
		while (line.len)
			read_option(s, next_word(&line));
	}
}

void dns_servers_parse_resolv(struct dns_servers *s, struct view text)
{
	reset(s);
	while (text.p)
		read_line(s, view_cut(&text, '\n'));
	if (s->count == 0)
		add_this_host(s);
}

/* ---- DNSCACHEIP ---- */

/* 127.0.0.1.127.0.0.2: as many addresses as there are four numbers. */
static void add_dotted(struct dns_servers *s, struct view text)
{
	while (text.p) {
		struct view rest = text;
		struct ipaddr ip;
		size_t len;

		for (int i = 0; i < 4; i++)
			view_cut(&rest, '.');
		len = rest.p ? (size_t)(rest.p - text.p) - 1 : text.len;
		if (ipaddr_parse(view_first(text, len), &ip))
			add(s, &ip, DNS_PORT);
		text = rest;
	}
}

/* Address and port; *ip is the address alone where there is no port. */
static bool parse_with_port(struct view word, struct ipaddr *ip, unsigned *port)
{
	size_t colon = view_find_last(word, ':');
	struct view host = view_first(word, colon);
	uint64_t number;

	if (!view_u64(view_from(word, colon + 1), &number) || number == 0 ||
	    number > 65535)
		return false;
	if (view_starts(host, VIEW("[")) && view_ends(host, VIEW("]")))
		host = view_first(view_from(host, 1), host.len - 2);
	else if (view_has(host, ':'))
		return false;
	*port = (unsigned)number;
	return ipaddr_parse(host, ip);
}

static void add_word(struct dns_servers *s, struct view word)
{
	struct ipaddr ip;
	unsigned port;

	if (ipaddr_parse(word, &ip))
		add(s, &ip, DNS_PORT);
	else if (parse_with_port(word, &ip, &port))
		add(s, &ip, port);
	else
		add_dotted(s, word);
}

void dns_servers_parse_list(struct dns_servers *s, struct view text)
{
	reset(s);
	while (text.len) {
		struct view word = next_word(&text);

		if (word.len)
			add_word(s, word);
	}
}

/* ---- both ---- */

int dns_servers_load(struct dns_servers *s)
{
	enum control_result result;
	struct str text = { 0 };

	dns_servers_parse_list(s, view_of(getenv("DNSCACHEIP")));
	if (s->count)
		return 0;
	result = control_read(AT_FDCWD, RESOLV_CONF, &text, RESOLV_MAX_BYTES);
	dns_servers_parse_resolv(s, str_view(&text));
	str_free(&text);
	return result == CONTROL_ERROR ? -1 : 0;
}
