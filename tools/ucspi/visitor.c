#include "tools/ucspi/visitor.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "lib/die.h"
#include "tools/ucspi/rules.h"

static void set_socket_options(const struct visitor *v)
{
	const int fd = v->caller->fd;
	const int yes = 1;

	/* Neither is worth a connection: UNIX sockets in tests lack both. */
	if (!v->o->keep_ip_options)
		(void)setsockopt(fd, IPPROTO_IP, IP_OPTIONS, NULL, 0);
	if (v->o->common.no_delay)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes,
				 sizeof(yes));
}

void visitor_ask(struct visitor *v)
{
	v->peer.names.want_remote_host = v->o->common.remote_host;
	v->peer.names.paranoid = v->o->paranoid;
	v->peer.names.want_info = v->o->common.remote_info;
	v->peer.names.timeout_s = v->o->common.timeout_s;
	peer_ask(&v->peer, v->o->common.local_host);
}

static void set_rule_variables(struct visitor *v, struct view data)
{
	struct str name = { 0 };
	struct view name_view;
	struct view value;

	while (rules_next_variable(&data, &name_view, &value)) {
		str_set(&name, name_view);
		environment_set(&v->env, str_c(&name), value);
	}
	str_free(&name);
}

static struct view or_unknown(const struct str *s)
{
	return s->len ? str_view(s) : (struct view){ 0 };
}

static void set_variables(struct visitor *v)
{
	const struct caller *caller = v->caller;

	peer_environment(&v->peer, &v->env);
	if (v->o->proxies.count)
		peer_proxy_environment(caller->is_announced ? &caller->proxy_ip
							    : NULL,
				       caller->proxy_port, &v->env);
}

enum visitor_verdict visitor_judge(struct visitor *v)
{
	const struct rules_peer peer = {
		.ip = str_view(&v->peer.remote_ip),
		.host = or_unknown(&v->peer.names.remote_host),
		.info = or_unknown(&v->peer.names.info),
	};
	enum visitor_verdict verdict = VISITOR_ALLOWED;
	struct str key = { 0 };
	struct str data = { 0 };
	struct cdbmap map;

	set_variables(v);
	if (!v->o->rules)
		return VISITOR_ALLOWED;
	if (cdbmap_open(&map, AT_FDCWD, v->o->rules) == -1)
		return errno == ENOENT && v->o->rules_optional
			       ? VISITOR_ALLOWED
			       : VISITOR_UNDECIDED;
	switch (rules_find(&map, &peer, &key, &data)) {
	case CDBMAP_FOUND:
		if (rules_deny(str_view(&data)))
			verdict = VISITOR_DENIED;
		set_rule_variables(v, str_view(&data));
		break;
	case CDBMAP_MISSING:
		break;
	case CDBMAP_ERROR:
		verdict = VISITOR_UNDECIDED;
		break;
	}
	cdbmap_close(&map);
	str_free(&key);
	str_free(&data);
	return verdict;
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

static void say(struct visitor *v, const char *what, pid_t pid, const char *why)
{
	struct str local = { 0 };
	struct str remote = { 0 };
	struct str info = { 0 };

	if (v->o->common.verbosity >= VERBOSE)
		warn("%s %ld %s:%s:%u %s:%s:%s:%u%s%s", what, (long)pid,
		     loggable(&local, &v->peer.names.local_host),
		     str_c(&v->peer.local_ip), v->peer.names.local_port,
		     loggable(&remote, &v->peer.names.remote_host),
		     str_c(&v->peer.remote_ip),
		     loggable(&info, &v->peer.names.info),
		     v->peer.names.remote_port, *why ? " " : "", why);
	str_free(&local);
	str_free(&remote);
	str_free(&info);
}

void visitor_say_ok(struct visitor *v, pid_t pid)
{
	say(v, "ok", pid, "");
}

void visitor_say_deny(struct visitor *v, pid_t pid, const char *why)
{
	say(v, "deny", pid, why);
}

static int set_addresses(struct visitor *v)
{
	const struct caller *caller = v->caller;

	peer_set_remote(&v->peer, &caller->ip, caller->port);
	if (!caller->is_announced)
		return peer_open_local(&v->peer, caller->fd);
	peer_set_local(&v->peer, &caller->local_ip, caller->local_port);
	return 0;
}

int visitor_open(struct visitor *v, const struct options *o,
		 const struct caller *caller)
{
	*v = (struct visitor){ .o = o, .caller = caller };
	environment_begin(&v->env);
	if (set_addresses(v) == -1)
		return -1;
	set_socket_options(v);
	return 0;
}

void visitor_say_came(struct visitor *v, pid_t pid)
{
	if (v->o->common.verbosity >= VERBOSE)
		warn("pid %ld from %s", (long)pid, str_c(&v->peer.remote_ip));
}

void visitor_free(struct visitor *v)
{
	environment_end(&v->env);
	peer_free(&v->peer);
}
