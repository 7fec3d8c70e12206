#include "remote/deliver.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/die.h"
#include "remote/route.h"
#include "remote/smtp.h"

#define HOSTS_FILE "/etc/hosts"
#define HOSTS_MAX_BYTES ((size_t)16 * 1024 * 1024)
#define SECOND 1000
#define MINUTE (60 * SECOND)

/* RFC 5321 section 4.5.3.2. */
static const struct smtp_times usual_times = {
	.connect = 60 * SECOND,
	.greeting = 5 * MINUTE,
	.command = 5 * MINUTE,
	.data = 2 * MINUTE,
	.block = 3 * MINUTE,
	.final = 10 * MINUTE,
};

/* ---- settings ---- */

static int bounded_ms(uint64_t seconds)
{
	return seconds > 1000000 ? 1000000 * SECOND : (int)seconds * SECOND;
}

/* A timeoutremote that is there rules all phases, as in qmail. */
static bool read_times(int homefd, struct smtp_times *times)
{
	uint64_t seconds;

	*times = usual_times;
	switch (control_u64(homefd, "timeoutremote", &seconds)) {
	case CONTROL_OK:
		times->greeting = times->command = times->data = times->block =
			times->final = bounded_ms(seconds);
		break;
	case CONTROL_ABSENT:
		break;
	case CONTROL_ERROR:
		return false;
	}
	switch (control_u64(homefd, "timeoutconnect", &seconds)) {
	case CONTROL_OK:
		times->connect = bounded_ms(seconds);
		return true;
	case CONTROL_ABSENT:
		return true;
	case CONTROL_ERROR:
		break;
	}
	return false;
}

struct settings {
	struct str helo;
	struct smtp_times times;
	struct control_list routes;
	struct route route;
};

static bool read_settings(int homefd, struct view host, struct settings *set)
{
	/* Without a name there is nothing to greet with. */
	if (control_line_or_me(homefd, "helohost", &set->helo) != CONTROL_OK ||
	    !set->helo.len || !read_times(homefd, &set->times) ||
	    control_list(homefd, "smtproutes", &set->routes) == CONTROL_ERROR) {
		warn_errno("cannot read control files");
		return false;
	}
	if (!route_find(&set->routes, host, &set->route)) {
		warn("control/smtproutes has a bad port for this host");
		return false;
	}
	return true;
}

/* ---- addresses ---- */

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
static size_t find_addresses(const struct settings *set, struct view host,
			     struct ipaddr *ips, struct outcome *outcome)
{
	struct view relay = set->route.relay;

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

void deliver_remote(int homefd, const struct job *job, struct outcome *outcome)
{
	struct ipaddr ips[ROUTE_MAX_ADDRESSES];
	struct settings set = { 0 };
	struct smtp_plan plan = { .job = job };
	enum smtp_result result = SMTP_NEXT;
	size_t count = 0;

	if (read_settings(homefd, job->host, &set))
		count = find_addresses(&set, job->host, ips, outcome);
	else
		outcome_set(outcome, JOB_DEFERRED,
			    "Unable to read control files. (#4.3.0)\n");
	plan.helo = str_view(&set.helo);
	plan.times = set.times;
	for (size_t i = 0; i < count && result != SMTP_ENDED; i++)
		result = smtp_deliver(&plan, &ips[i], set.route.port, outcome);
	str_free(&set.helo);
	control_list_free(&set.routes);
}
