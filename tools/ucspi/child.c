#include "tools/ucspi/child.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/ipaddr.h"
#include "lib/out.h"
#include "lib/sig.h"
#include "tools/ucspi/lookup.h"
#include "tools/ucspi/rules.h"

struct child {
	const struct options *o;
	int fd;
	struct str local_ip;
	struct str remote_ip;
	struct lookup names;
};

/* Every way a connection ends here, but for the rule that denies it. */
static noreturn void drop(const struct child *c, const char *what,
			  const char *object)
{
	if (c->o->verbosity >= ERRORS)
		warn_errno("warning: dropping connection, unable to %s%s", what,
			   object);
	_exit(EXIT_RETRY);
}

static void find_addresses(struct child *c, const struct sockaddr *remote)
{
	struct sockaddr_storage local;
	socklen_t len = sizeof(local);
	struct ipaddr ip;

	if (getsockname(c->fd, (struct sockaddr *)&local, &len) == -1)
		drop(c, "get local address", "");
	if (!ipaddr_from_socket((struct sockaddr *)&local, &ip,
				&c->names.local_port)) {
		errno = EAFNOSUPPORT;
		drop(c, "get local address", "");
	}
	ipaddr_format(&c->local_ip, &ip);
	if (!ipaddr_from_socket(remote, &ip, &c->names.remote_port)) {
		errno = EAFNOSUPPORT;
		drop(c, "get remote address", "");
	}
	ipaddr_format(&c->remote_ip, &ip);
}

static void set_socket_options(const struct child *c)
{
	const int yes = 1;

	/* Neither is worth a connection: UNIX sockets in tests lack both. */
	if (!c->o->keep_ip_options)
		(void)setsockopt(c->fd, IPPROTO_IP, IP_OPTIONS, NULL, 0);
	if (c->o->no_delay)
		(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes,
				 sizeof(yes));
}

static void find_names(struct child *c)
{
	c->names.want_local_host = !c->o->local_host;
	c->names.want_remote_host = c->o->remote_host;
	c->names.paranoid = c->o->paranoid;
	c->names.want_info = c->o->remote_info;
	c->names.timeout_s = c->o->timeout_s;
	c->names.local_ip = str_view(&c->local_ip);
	c->names.remote_ip = str_view(&c->remote_ip);
	lookup_peer(&c->names);
	if (c->o->local_host)
		str_set_c(&c->names.local_host, c->o->local_host);
}

/* value NULL removes the variable: what we do not know nobody else told. */
static void set_variable(const struct child *c, const char *name,
			 const char *value)
{
	if ((value ? setenv(name, value, 1) : unsetenv(name)) == -1)
		drop(c, "set $", name);
}

static void set_port(const struct child *c, const char *name, unsigned port)
{
	char text[12];

	snprintf(text, sizeof(text), "%u", port);
	set_variable(c, name, text);
}

static const char *known(struct str *s)
{
	return s->len ? str_c(s) : NULL;
}

static void set_environment(struct child *c)
{
	set_variable(c, "PROTO", "TCP");
	set_variable(c, "TCPLOCALIP", str_c(&c->local_ip));
	set_port(c, "TCPLOCALPORT", c->names.local_port);
	set_variable(c, "TCPLOCALHOST", known(&c->names.local_host));
	set_variable(c, "TCPREMOTEIP", str_c(&c->remote_ip));
	set_port(c, "TCPREMOTEPORT", c->names.remote_port);
	set_variable(c, "TCPREMOTEHOST", known(&c->names.remote_host));
	set_variable(c, "TCPREMOTEINFO", known(&c->names.info));
}

static void set_rule_variables(const struct child *c, struct view data)
{
	struct str name = { 0 };
	struct str value = { 0 };
	struct view name_view;
	struct view value_view;

	while (rules_next_variable(&data, &name_view, &value_view)) {
		str_set(&name, name_view);
		str_set(&value, value_view);
		set_variable(c, str_c(&name), str_c(&value));
	}
	str_free(&name);
	str_free(&value);
}

static struct view or_unknown(const struct str *s)
{
	return s->len ? str_view(s) : (struct view){ 0 };
}

/* Find the rule and obey it: true to allow. */
static bool follow_rules(const struct child *c)
{
	const struct rules_peer peer = {
		.ip = str_view(&c->remote_ip),
		.host = or_unknown(&c->names.remote_host),
		.info = or_unknown(&c->names.info),
	};
	struct str key = { 0 };
	struct str data = { 0 };
	struct cdbmap map;
	bool allow = true;

	if (!c->o->rules)
		return true;
	if (cdbmap_open(&map, AT_FDCWD, c->o->rules) == -1) {
		if (errno == ENOENT && c->o->rules_optional)
			return true;
		drop(c, "read ", c->o->rules);
	}
	switch (rules_find(&map, &peer, &key, &data)) {
	case CDBMAP_FOUND:
		allow = !rules_deny(str_view(&data));
		set_rule_variables(c, str_view(&data));
		break;
	case CDBMAP_MISSING:
		break;
	case CDBMAP_ERROR:
		drop(c, "read ", c->o->rules);
	}
	cdbmap_close(&map);
	str_free(&key);
	str_free(&data);
	return allow;
}

/* A name for the log, where `:` and blanks separate fields. */
static const char *loggable(struct str *to, const struct str *from)
{
	for (size_t i = 0; i < from->len; i++) {
		char byte = from->p[i];

		if (byte <= ' ' || byte > '~' || byte == ':' || byte == '%')
			byte = '?';
		str_append_byte(to, byte);
	}
	return str_c(to);
}

static void say_decision(struct child *c, bool allow)
{
	struct str local = { 0 };
	struct str remote = { 0 };
	struct str info = { 0 };

	if (c->o->verbosity >= VERBOSE)
		warn("%s %ld %s:%s:%u %s:%s:%s:%u", allow ? "ok" : "deny",
		     (long)getpid(), loggable(&local, &c->names.local_host),
		     str_c(&c->local_ip), c->names.local_port,
		     loggable(&remote, &c->names.remote_host),
		     str_c(&c->remote_ip), loggable(&info, &c->names.info),
		     c->names.remote_port);
	str_free(&local);
	str_free(&remote);
	str_free(&info);
}

static noreturn void run_program(struct child *c)
{
	if (dup2(c->fd, STDIN_FILENO) == -1 || dup2(c->fd, STDOUT_FILENO) == -1)
		drop(c, "set up descriptors", "");
	close(c->fd);
	execvp(c->o->program[0], c->o->program);
	drop(c, "run ", c->o->program[0]);
}

/*
 * The order of things for a connection, all of it: the banner goes out
 * first, then names are looked up, the rules decide, the log says what they
 * decided, and the program starts or the connection is dropped.
 */
noreturn void child_run(const struct options *o, int fd,
			const struct sockaddr *remote)
{
	struct child c = { .o = o, .fd = fd };
	bool allow;

	sig_reset_all();
	find_addresses(&c, remote);
	if (o->verbosity >= VERBOSE)
		warn("pid %ld from %s", (long)getpid(), str_c(&c.remote_ip));
	set_socket_options(&c);
	if (o->banner.len && write_all(fd, o->banner) == -1)
		drop(&c, "print banner", "");
	find_names(&c);
	set_environment(&c);
	allow = follow_rules(&c);
	say_decision(&c, allow);
	if (!allow)
		_exit(EXIT_REJECT);
	run_program(&c);
}
