#include "remote/session.h"

#include <poll.h>
#include <string.h>

static void note_abilities(struct session *s)
{
	const struct reply *reply = &s->client.reply;
	struct view value;

	s->has_8bitmime = reply_keyword(reply, VIEW("8BITMIME"), &value);
	s->has_smtputf8 = reply_keyword(reply, VIEW("SMTPUTF8"), &value);
	s->has_pipelining = reply_keyword(reply, VIEW("PIPELINING"), &value);
	s->has_size = reply_keyword(reply, VIEW("SIZE"), &value);
	if (!s->has_size || !view_u64(value, &s->max_bytes))
		s->max_bytes = 0;
}

static bool say_hello(struct session *s, struct view verb,
		      const struct session_times *times)
{
	client_put(&s->client, verb);
	client_put(&s->client, str_view(&s->helo));
	client_put(&s->client, VIEW("\r\n"));
	return client_reply(&s->client, times->command);
}

/* Greeting and EHLO or, where that is not known, HELO. */
static enum session_result greet(struct session *s,
				 const struct session_times *times,
				 bool only_helo, bool *broke_at_ehlo)
{
	*broke_at_ehlo = false;
	if (!client_reply(&s->client, times->greeting))
		return SESSION_LOST;
	if (s->client.reply.code != 220)
		return SESSION_GREETING;
	if (!only_helo) {
		unsigned code;

		*broke_at_ehlo = !say_hello(s, VIEW("EHLO "), times) ||
				 s->client.reply.code == 421;
		if (*broke_at_ehlo)
			return SESSION_LOST;
		code = s->client.reply.code;
		if (code == 250) {
			note_abilities(s);
			return SESSION_OPEN;
		}
		if (code < 500)
			return SESSION_REFUSED;
	}
	if (!say_hello(s, VIEW("HELO "), times))
		return SESSION_LOST;
	return s->client.reply.code == 250 ? SESSION_OPEN : SESSION_REFUSED;
}

static enum session_result try_open(struct session *s,
				    const struct session_times *times,
				    bool only_helo, bool *broke_at_ehlo)
{
	if (client_connect(&s->client, &s->ip, s->port, times->connect) == -1)
		return SESSION_NO_REACH;
	s->is_open = true;
	return greet(s, times, only_helo, broke_at_ehlo);
}

enum session_result session_open(struct session *s, const struct ipaddr *ip,
				 unsigned port, struct view helo,
				 const struct session_times *times)
{
	enum session_result result;
	bool broke_at_ehlo = false;

	session_close(s);
	s->ip = *ip;
	s->port = port;
	str_reset(&s->host);
	ipaddr_format(&s->host, ip);
	str_set(&s->helo, helo);
	result = try_open(s, times, false, &broke_at_ehlo);
	if (!broke_at_ehlo)
		return result;
	/* Some break at EHLO: once more, with HELO alone. */
	session_close(s);
	result = try_open(s, times, true, &broke_at_ehlo);
	/* It was reached a moment ago, and is gone. */
	return result == SESSION_NO_REACH ? SESSION_LOST : result;
}

bool session_is_with(const struct session *s, const struct ipaddr *ip,
		     unsigned port, struct view helo)
{
	return s->is_open && s->port == port && s->ip.v6 == ip->v6 &&
	       memcmp(s->ip.bytes, ip->bytes, sizeof(ip->bytes)) == 0 &&
	       view_eq(str_view(&s->helo), helo);
}

bool session_is_quiet(const struct session *s)
{
	struct pollfd one = { .fd = s->client.fd, .events = POLLIN };

	return in_buffered(&s->client.in) == 0 && poll(&one, 1, 0) == 0;
}

void session_quit(struct session *s)
{
	if (s->is_open)
		client_quit(&s->client);
	session_close(s);
}

void session_close(struct session *s)
{
	if (s->is_open)
		client_close(&s->client);
	s->is_open = false;
	s->is_kept = false;
	s->needs_rset = false;
	s->messages = 0;
	s->has_8bitmime = s->has_size = false;
	s->has_smtputf8 = s->has_pipelining = false;
	s->max_bytes = 0;
}

void session_free(struct session *s)
{
	session_close(s);
	str_free(&s->host);
	str_free(&s->helo);
}
