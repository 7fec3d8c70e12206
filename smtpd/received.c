#include "smtpd/received.h"

#include <stdlib.h>

#include "lib/date.h"

static bool is_safe(char c)
{
	return (c >= '0' && c <= '9') ||
	       (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') ||
	       (c && strchr(".@%+/=:-_[]", c));
}

static void append_safely(struct str *to, struct view v)
{
	for (size_t i = 0; i < v.len; i++)
		str_append(to,
			   is_safe(v.p[i]) ? view_make(v.p + i, 1) : VIEW("?"));
}

static struct view or_unknown(struct view v)
{
	return v.len ? v : VIEW("unknown");
}

void received_format(struct str *to, const struct received *received,
		     int64_t now_s)
{
	struct view host = or_unknown(received->host);

	str_append(to, VIEW("Received: from "));
	append_safely(to, host);
	if (received->helo.len && !view_eq_nocase(received->helo, host)) {
		str_append(to, VIEW(" (HELO "));
		append_safely(to, received->helo);
		str_append(to, VIEW(")"));
	}
	str_append(to, VIEW(" ("));
	if (received->info.len) {
		append_safely(to, received->info);
		str_append(to, VIEW("@"));
	}
	append_safely(to, or_unknown(received->ip));
	str_append(to, VIEW(")\n  by "));
	append_safely(to, or_unknown(received->by));
	str_append(to, VIEW(" with "));
	str_append(to, received->protocol);
	str_append(to, VIEW("; "));
	date_format(to, now_s);
	str_append(to, VIEW("\n"));
}

static struct view without_mapping(struct view ip)
{
	if (view_starts_nocase(ip, VIEW("::ffff:")) && view_has(ip, '.'))
		return view_from(ip, 7);
	return ip;
}

void received_from_environment(struct received *received)
{
	received->host = view_of(getenv("TCPREMOTEHOST"));
	received->info = view_of(getenv("TCPREMOTEINFO"));
	received->ip = without_mapping(view_of(getenv("TCPREMOTEIP")));
	received->by = view_of(getenv("TCPLOCALHOST"));
	if (received->by.len == 0)
		received->by = without_mapping(view_of(getenv("TCPLOCALIP")));
}
