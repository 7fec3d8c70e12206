#include "smtpd/policy.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "lib/address.h"
#include "lib/ipaddr.h"

#define TIMEOUT_S 1200
#define TIMEOUT_MAX_S (INT_MAX / 1000)

/* Absent is fine; *what stays when it was not. */
static int check(enum control_result result, const char *name,
		 const char **what)
{
	*what = name;
	return result == CONTROL_ERROR ? -1 : 0;
}

static int load_names(struct policy *p, int homefd, const char **what)
{
	struct view rest;

	if (check(control_line_or_me(homefd, "smtpgreeting", &p->greeting),
		  "control/smtpgreeting", what) == -1 ||
	    check(control_line(homefd, "me", &p->host), "control/me", what) ==
		    -1)
		return -1;
	if (p->greeting.len == 0) {
		*what = "control/me";
		errno = ENOENT;
		return -1;
	}
	rest = str_view(&p->greeting);
	if (p->host.len == 0)
		str_set(&p->host, view_cut(&rest, ' '));
	return check(control_line_or_me(homefd, "localiphost", &p->localiphost),
		     "control/localiphost", what);
}

static int load_more(struct policy *p, int homefd, const char **what)
{
	*what = "control/morercpthosts.cdb";
	if (cdbmap_open(&p->more, homefd, *what) == 0)
		return 0;
	p->more.fd = -1;
	return errno == ENOENT ? 0 : -1;
}

static int load_recipients(struct policy *p, int homefd, const char **what)
{
	enum control_result listed;

	listed = control_list(homefd, "rcpthosts", &p->rcpthosts);
	if (check(listed, "control/rcpthosts", what) == -1 ||
	    load_more(p, homefd, what) == -1)
		return -1;
	p->recipients_open = listed == CONTROL_OK || p->more.fd != -1;
	return check(control_list(homefd, "badmailfrom", &p->badmailfrom),
		     "control/badmailfrom", what);
}

/* DATABYTES counts before control/databytes. */
static int load_max_bytes(struct policy *p, int homefd, const char **what)
{
	const char *env = getenv("DATABYTES");

	if (!env || !*env)
		return check(control_u64(homefd, "databytes", &p->max_bytes),
			     "control/databytes", what);
	*what = "DATABYTES";
	if (view_u64(view_of(env), &p->max_bytes))
		return 0;
	errno = EINVAL;
	return -1;
}

static int load_numbers(struct policy *p, int homefd, const char **what)
{
	uint64_t timeout_s = TIMEOUT_S;
	struct str line = { 0 };
	enum control_result strict;

	if (load_max_bytes(p, homefd, what) == -1 ||
	    check(control_u64(homefd, "maxrcpt", &p->max_recipients),
		  "control/maxrcpt", what) == -1 ||
	    check(control_u64(homefd, "timeoutsmtpd", &timeout_s),
		  "control/timeoutsmtpd", what) == -1)
		return -1;
	if (timeout_s == 0)
		timeout_s = 1;
	if (timeout_s > TIMEOUT_MAX_S)
		timeout_s = TIMEOUT_MAX_S;
	p->timeout_ms = (int)timeout_s * 1000;
	strict = control_line(homefd, "strictsmtp", &line);
	p->strict =
		strict == CONTROL_OK && !view_eq(str_view(&line), VIEW("0"));
	str_free(&line);
	return check(strict, "control/strictsmtp", what);
}

int policy_load(struct policy *policy, int homefd, const char **what)
{
	*policy = (struct policy){ .more.fd = -1 };
	policy->relayclient = view_of(getenv("RELAYCLIENT"));
	policy->local_ip = view_of(getenv("TCPLOCALIP"));
	if (load_names(policy, homefd, what) == -1 ||
	    load_recipients(policy, homefd, what) == -1 ||
	    load_numbers(policy, homefd, what) == -1) {
		int error = errno;

		policy_free(policy);
		errno = error;
		return -1;
	}
	return 0;
}

void policy_free(struct policy *policy)
{
	str_free(&policy->greeting);
	str_free(&policy->host);
	str_free(&policy->localiphost);
	control_list_free(&policy->rcpthosts);
	control_list_free(&policy->badmailfrom);
	if (policy->more.fd != -1)
		cdbmap_close(&policy->more);
	policy->more.fd = -1;
}

bool policy_sender_is_bad(const struct policy *policy, struct view sender)
{
	size_t at = view_find_last(sender, '@');
	struct view rest = control_list_start(&policy->badmailfrom);
	struct view entry;

	while (control_list_next(&rest, &entry))
		if (view_eq_nocase(entry, sender) ||
		    (at < sender.len &&
		     view_eq_nocase(entry, view_from(sender, at))))
			return true;
	return false;
}

/* `[192.0.2.1]` or `[IPv6:...]`, and the address is ours? */
static bool is_own_literal(const struct policy *policy, struct view domain)
{
	struct ipaddr ip;
	struct ipaddr own;

	if (!view_starts(domain, VIEW("[")) || !view_ends(domain, VIEW("]")))
		return false;
	domain = view_first(view_from(domain, 1), domain.len - 2);
	if (view_starts_nocase(domain, VIEW("IPv6:")))
		domain = view_from(domain, 5);
	if (!ipaddr_parse(domain, &ip))
		return false;
	if (!ip.v6 && ip.bytes[0] == 127)
		return true;
	return ipaddr_parse(policy->local_ip, &own) && own.v6 == ip.v6 &&
	       memcmp(own.bytes, ip.bytes, sizeof(ip.bytes)) == 0;
}

static void replace_own_literal(const struct policy *policy,
				struct str *address)
{
	struct view domain = address_domain(str_view(address));

	if (policy->localiphost.len == 0 || !is_own_literal(policy, domain))
		return;
	str_truncate(address, address->len - domain.len);
	str_append(address, str_view(&policy->localiphost));
}

/* The domain itself is listed, or one above it with a dot in front. */
static bool is_listed(const struct policy *policy, struct view domain)
{
	struct view rest = control_list_start(&policy->rcpthosts);
	struct view entry;

	while (control_list_next(&rest, &entry))
		if (view_eq_nocase(domain, entry) ||
		    (view_starts(entry, VIEW(".")) &&
		     view_ends_nocase(domain, entry)))
			return true;
	return false;
}

static enum policy_answer find_more(struct policy *policy, struct view domain)
{
	struct str key = { 0 };
	struct str value = { 0 };
	enum cdbmap_result result = CDBMAP_MISSING;

	str_append(&key, domain);
	str_lower(&key);
	for (size_t i = 0; i < key.len && result == CDBMAP_MISSING; i++)
		if (i == 0 || key.p[i] == '.')
			result = cdbmap_find(&policy->more,
					     view_from(str_view(&key), i),
					     &value);
	str_free(&key);
	str_free(&value);
	switch (result) {
	case CDBMAP_FOUND:
		return POLICY_ACCEPTED;
	case CDBMAP_MISSING:
		return POLICY_REFUSED;
	case CDBMAP_ERROR:
		break;
	}
	return POLICY_ERROR;
}

static enum policy_answer is_served(struct policy *policy, struct view address)
{
	struct view domain = address_domain(address);

	if (!policy->recipients_open)
		return POLICY_REFUSED;
	/* Without a domain it is for envnoathost, which is here. */
	if (domain.p == NULL || is_listed(policy, domain))
		return POLICY_ACCEPTED;
	if (policy->more.fd == -1)
		return POLICY_REFUSED;
	return find_more(policy, domain);
}

enum policy_answer policy_recipient(struct policy *policy, struct str *address)
{
	replace_own_literal(policy, address);
	if (policy->relayclient.p) {
		str_append(address, policy->relayclient);
		return POLICY_ACCEPTED;
	}
	return is_served(policy, str_view(address));
}
