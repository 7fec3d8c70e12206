#include "remote/deliver.h"

#include <fcntl.h>

#include "lib/die.h"
#include "lib/route.h"
#include "remote/smtp.h"

#define HOSTS_FILE "/etc/hosts"
#define HOSTS_MAX_BYTES ((size_t)16 * 1024 * 1024)

static size_t look_up_hosts(struct view name, struct ipaddr *ips)
{
	struct str text = { 0 };
	size_t count = 0;

	if (control_read(AT_FDCWD, HOSTS_FILE, &text, HOSTS_MAX_BYTES) ==
	    CONTROL_OK)
		count = route_hosts(str_view(&text), name, ips, EXCHANGERS_MAX);
	str_free(&text);
	return count;
}

static void explain_failure(struct view host, enum exchangers_result result,
			    struct outcome *outcome)
{
	struct str name = { 0 };

	/* A stranger's name, as words may have it. */
	log_escape(&name, view_first(host, 255));
	switch (result) {
	case EXCHANGERS_FOUND:
		break;
	case EXCHANGERS_TROUBLE:
		outcome_set(outcome, JOB_DEFERRED,
			    "DNS lookup of %s failed temporarily. (#4.4.3)\n",
			    str_c(&name));
		break;
	case EXCHANGERS_NO_HOST:
		outcome_set(outcome, JOB_FAILED,
			    "Sorry, I couldn't find any host named %s. "
			    "(#5.1.2)\n",
			    str_c(&name));
		break;
	case EXCHANGERS_NO_ADDRESS:
		outcome_set(outcome, JOB_FAILED,
			    "Sorry, I couldn't find a mail exchanger or IP "
			    "address. (#5.4.4)\n");
		break;
	case EXCHANGERS_NO_MAIL:
		outcome_set(outcome, JOB_FAILED,
			    "Sorry, %s does not accept mail. (#5.1.10)\n",
			    str_c(&name));
		break;
	case EXCHANGERS_OURSELVES:
		outcome_set(outcome, JOB_FAILED,
			    "Sorry. Although I'm listed as a best-preference "
			    "MX or A for that host,\nit isn't in my "
			    "control/locals file, so I don't treat it as "
			    "local. (#5.4.6)\n");
		break;
	}
	str_free(&name);
}

/* An address as it is typed; a name in /etc/hosts first. */
static size_t find_relay(struct deliver *d, struct view relay,
			 struct outcome *outcome)
{
	struct exchangers *e = &d->exchangers;
	struct ipaddr ips[EXCHANGERS_MAX];
	enum exchangers_result result;
	size_t count = 1;

	if (!route_literal(relay, &ips[0]) && !ipaddr_parse(relay, &ips[0]))
		count = look_up_hosts(relay, ips);
	if (count) {
		exchangers_set(e, ips, count);
		return e->count;
	}
	result = exchangers_of_relay(e, relay);
	/* Who wrote it into smtproutes can mend it. */
	if (result == EXCHANGERS_NO_HOST)
		outcome_set(outcome, JOB_DEFERRED,
			    "Sorry, I couldn't find any host by that name. "
			    "(#4.1.2)\n");
	else
		explain_failure(relay, result, outcome);
	return e->count;
}

/* Where to connect to; 0 with the outcome set when nowhere. */
static size_t find_addresses(struct deliver *d, struct view relay,
			     struct view host, struct outcome *outcome)
{
	const struct ownaddress *own = &d->settings.own;
	struct exchangers *e = &d->exchangers;
	struct ipaddr literal;

	if (relay.len)
		return find_relay(d, relay, outcome);
	if (!route_literal(host, &literal)) {
		explain_failure(host, exchangers_find(e, host, own), outcome);
		return e->count;
	}
	exchangers_set(e, &literal, 1);
	if (!ownaddress_is(own, &literal))
		return e->count;
	explain_failure(host, EXCHANGERS_OURSELVES, outcome);
	return 0;
}

/* Something is wrong with this machine, or with this process. */
static void defer_for_trouble(struct deliver *d, struct outcome *outcome,
			      const char *text)
{
	d->in_trouble = true;
	outcome_set(outcome, JOB_DEFERRED, "%s", text);
}

/* The connection of an earlier message, if it is one that we would make. */
static enum smtp_result try_kept(struct deliver *d,
				 const struct smtp_plan *plan,
				 const struct ipaddr *ips, size_t count,
				 unsigned port, struct outcome *outcome)
{
	for (size_t i = 0; i < count; i++)
		if (session_is_with(&d->session, &ips[i], port,
				    str_view(&d->settings.helo)))
			return smtp_reuse(plan, &d->session, outcome);
	session_quit(&d->session);
	return SMTP_STALE;
}

void deliver_remote(struct deliver *d, const struct job *job,
		    struct outcome *outcome)
{
	const struct ipaddr *ips = d->exchangers.ips;
	struct view helo;
	struct route route;
	struct smtp_plan plan;
	enum smtp_result result;
	size_t count;

	if (!settings_renew(&d->settings, d->homefd)) {
		defer_for_trouble(d, outcome,
				  "Unable to read control files. (#4.3.0)\n");
		return;
	}
	if (!route_find(&d->settings.routes, job->host, &route)) {
		warn("control/smtproutes has a bad port for this host");
		defer_for_trouble(d, outcome,
				  "Unable to read control files. (#4.3.0)\n");
		return;
	}
	count = find_addresses(d, route.relay, job->host, outcome);
	if (count == 0) {
		outcome->hop_failed = outcome->letter == JOB_DEFERRED;
		return;
	}
	if (!smtp_prepare(&plan, job, &d->settings.times)) {
		defer_for_trouble(d, outcome,
				  "Unable to read message. (#4.3.0)\n");
		return;
	}
	helo = str_view(&d->settings.helo);
	result = try_kept(d, &plan, ips, count, route.port, outcome);
	for (size_t i = 0; i < count && result != SMTP_ENDED; i++)
		result = smtp_deliver(&plan, &d->session, &ips[i], route.port,
				      helo, outcome);
}

void deliver_free(struct deliver *d)
{
	session_quit(&d->session);
	session_free(&d->session);
	exchangers_free(&d->exchangers);
	settings_free(&d->settings);
}
