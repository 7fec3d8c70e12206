#include "remote/deliver.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/route.h"
#include "remote/smtp.h"

#define HOSTS_FILE "/etc/hosts"
#define HOSTS_MAX_BYTES ((size_t)16 * 1024 * 1024)

/* An address that we can bind to is our own. */
static bool is_ours(const struct ipaddr *ip)
{
	struct sockaddr_storage address;
	socklen_t len = ipaddr_to_socket(ip, 0, &address);
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ours;

	if (fd == -1)
		return false;
	ours = bind(fd, (struct sockaddr *)&address, len) == 0;
	close(fd);
	return ours;
}

static size_t look_up_hosts(struct view name, struct ipaddr *ips)
{
	struct str text = { 0 };
	size_t count = 0;

	if (control_read(AT_FDCWD, HOSTS_FILE, &text, HOSTS_MAX_BYTES) ==
	    CONTROL_OK)
		count = route_hosts(str_view(&text), name, ips,
				    ROUTE_MAX_ADDRESSES);
	str_free(&text);
	return count;
}

/* Where to connect to; 0 with the outcome set when nowhere. */
static size_t find_addresses(const struct route *route, struct view host,
			     struct ipaddr *ips, struct outcome *outcome)
{
	struct view relay = route->relay;

	if (relay.len) {
		size_t count;

		if (route_literal(relay, &ips[0]) ||
		    ipaddr_parse(relay, &ips[0]))
			return 1;
		count = look_up_hosts(relay, ips);
		if (count == 0)
			outcome_set(outcome, JOB_DEFERRED,
				    "Sorry, I couldn't find any host by that "
				    "name. (#4.1.2)\n");
		return count;
	}
	if (!route_literal(host, &ips[0])) {
		outcome_set(outcome, JOB_DEFERRED,
			    "control/smtproutes has no relay for this host, "
			    "and its mail exchangers cannot be looked up yet. "
			    "(#4.4.4)\n");
		return 0;
	}
	if (!is_ours(&ips[0]))
		return 1;
	outcome_set(outcome, JOB_FAILED,
		    "Sorry. Although I'm listed as a best-preference MX or A "
		    "for that host,\nit isn't in my control/locals file, so I "
		    "don't treat it as local. (#5.4.6)\n");
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
	struct ipaddr ips[ROUTE_MAX_ADDRESSES];
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
	count = find_addresses(&route, job->host, ips, outcome);
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
	settings_free(&d->settings);
}
