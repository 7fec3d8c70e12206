#include "tools/ucspi/visitor.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/ipaddr.h"
#include "tools/ucspi/rules.h"

static int find_addresses(struct visitor *v, const struct sockaddr *remote)
{
	struct sockaddr_storage local;
	socklen_t len = sizeof(local);
	struct ipaddr ip;

	if (getsockname(v->fd, (struct sockaddr *)&local, &len) == -1)
		return -1;
	errno = EAFNOSUPPORT;
	if (!ipaddr_from_socket((struct sockaddr *)&local, &ip,
				&v->names.local_port))
		return -1;
	ipaddr_format(&v->local_ip, &ip);
	if (!ipaddr_from_socket(remote, &ip, &v->names.remote_port))
		return -1;
	ipaddr_format(&v->remote_ip, &ip);
	return 0;
}

static void set_socket_options(const struct visitor *v)
{
	const int yes = 1;

	/* Neither is worth a connection: UNIX sockets in tests lack both. */
	if (!v->o->keep_ip_options)
		(void)setsockopt(v->fd, IPPROTO_IP, IP_OPTIONS, NULL, 0);
	if (v->o->no_delay)
		(void)setsockopt(v->fd, IPPROTO_TCP, TCP_NODELAY, &yes,
				 sizeof(yes));
}

void visitor_ask(struct visitor *v)
{
	v->names.want_local_host = !v->o->local_host;
	v->names.want_remote_host = v->o->remote_host;
	v->names.paranoid = v->o->paranoid;
	v->names.want_info = v->o->remote_info;
	v->names.timeout_s = v->o->timeout_s;
	v->names.local_ip = str_view(&v->local_ip);
	v->names.remote_ip = str_view(&v->remote_ip);
	lookup_peer(&v->names);
	if (v->o->local_host)
		str_set_c(&v->names.local_host, v->o->local_host);
}

/* An empty value removes the variable: what we do not know nobody else told. */
static void set_known(struct visitor *v, const char *name, struct view value)
{
	if (value.len)
		environment_set(&v->env, name, value);
	else
		environment_unset(&v->env, name);
}

static void set_port(struct visitor *v, const char *name, unsigned port)
{
	struct str text = { 0 };

	str_append_u64(&text, port);
	environment_set(&v->env, name, str_view(&text));
	str_free(&text);
}

static void set_environment(struct visitor *v)
{
	environment_set(&v->env, "PROTO", VIEW("TCP"));
	set_known(v, "TCPLOCALIP", str_view(&v->local_ip));
	set_port(v, "TCPLOCALPORT", v->names.local_port);
	set_known(v, "TCPLOCALHOST", str_view(&v->names.local_host));
	set_known(v, "TCPREMOTEIP", str_view(&v->remote_ip));
	set_port(v, "TCPREMOTEPORT", v->names.remote_port);
	set_known(v, "TCPREMOTEHOST", str_view(&v->names.remote_host));
	set_known(v, "TCPREMOTEINFO", str_view(&v->names.info));
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

enum visitor_verdict visitor_judge(struct visitor *v)
{
	const struct rules_peer peer = {
		.ip = str_view(&v->remote_ip),
		.host = or_unknown(&v->names.remote_host),
		.info = or_unknown(&v->names.info),
	};
	enum visitor_verdict verdict = VISITOR_ALLOWED;
	struct str key = { 0 };
	struct str data = { 0 };
	struct cdbmap map;

	set_environment(v);
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

void visitor_say(struct visitor *v, pid_t pid, bool allow)
{
	struct str local = { 0 };
	struct str remote = { 0 };
	struct str info = { 0 };

	if (v->o->verbosity >= VERBOSE)
		warn("%s %ld %s:%s:%u %s:%s:%s:%u", allow ? "ok" : "deny",
		     (long)pid, loggable(&local, &v->names.local_host),
		     str_c(&v->local_ip), v->names.local_port,
		     loggable(&remote, &v->names.remote_host),
		     str_c(&v->remote_ip), loggable(&info, &v->names.info),
		     v->names.remote_port);
	str_free(&local);
	str_free(&remote);
	str_free(&info);
}

int visitor_open(struct visitor *v, const struct options *o, int fd,
		 const struct sockaddr *remote)
{
	*v = (struct visitor){ .o = o, .fd = fd };
	environment_begin(&v->env);
	if (find_addresses(v, remote) == -1)
		return -1;
	set_socket_options(v);
	return 0;
}

void visitor_say_came(struct visitor *v, pid_t pid)
{
	if (v->o->verbosity >= VERBOSE)
		warn("pid %ld from %s", (long)pid, str_c(&v->remote_ip));
}

void visitor_free(struct visitor *v)
{
	environment_end(&v->env);
	str_free(&v->local_ip);
	str_free(&v->remote_ip);
	str_free(&v->names.local_host);
	str_free(&v->names.remote_host);
	str_free(&v->names.info);
}
