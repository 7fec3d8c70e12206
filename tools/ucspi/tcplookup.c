/*
 * tcplookup - look up names for tcpserver and tcpclient, in a process that may
 * be killed.
 *
 * started by  tcpserver and tcpclient: once at start for names on their command
 *             line, and for each connection that they must know a name for
 * runs as     their user; qmaild when that is root
 * fds         1 the answers, a line each
 * exits       EXIT_DONE with all the answers that there are, EXIT_REJECT for
 *             misuse
 */
#include <netdb.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/ipaddr.h"
#include "lib/out.h"
#include "tools/ucspi/ident.h"

#define TIMEOUT_DEFAULT_S 26

struct wishes {
	bool local_host;
	bool remote_host;
	bool paranoid;
	bool info;
	unsigned timeout_s;
};

static noreturn void usage(void)
{
	die(EXIT_REJECT, "usage: tcplookup [ -hlpr ] [ -t timeout ] "
			 "service name | host name | "
			 "peer localip localport remoteip remoteport");
}

/* A line at once: the reader takes what is there when it loses patience. */
static void answer(const char *label, struct view value)
{
	struct str line = { 0 };

	str_append_c(&line, label);
	str_append(&line, value);
	str_append_byte(&line, '\n');
	if (write_all(STDOUT_FILENO, str_view(&line)) == -1)
		die_errno(EXIT_RETRY, "cannot write the answer");
	str_free(&line);
}

static void answer_ip(const struct sockaddr *address)
{
	struct str text = { 0 };
	struct ipaddr ip;
	unsigned port;

	if (ipaddr_from_socket(address, &ip, &port)) {
		ipaddr_format(&text, &ip);
		answer("", str_view(&text));
	}
	str_free(&text);
}

static struct addrinfo *resolve(const char *host, const char *service)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *list;

	return getaddrinfo(host, service, &hints, &list) == 0 ? list : NULL;
}

static void find_service(const char *name)
{
	const struct servent *entry = getservbyname(name, "tcp");
	struct str port = { 0 };

	if (entry) {
		str_append_u64(&port, ntohs((uint16_t)entry->s_port));
		answer("", str_view(&port));
	}
	str_free(&port);
}

static void find_host(const char *name)
{
	struct addrinfo *list = resolve(name, NULL);

	for (struct addrinfo *a = list; a; a = a->ai_next)
		answer_ip(a->ai_addr);
	if (list)
		freeaddrinfo(list);
}

/* Is ip among the addresses of this name? */
static bool leads_back(const char *name, const struct ipaddr *ip)
{
	struct addrinfo *list = resolve(name, NULL);
	struct ipaddr other;
	unsigned port;
	bool found = false;

	for (struct addrinfo *a = list; a && !found; a = a->ai_next)
		found = ipaddr_from_socket(a->ai_addr, &other, &port) &&
			other.v6 == ip->v6 &&
			memcmp(other.bytes, ip->bytes, sizeof(ip->bytes)) == 0;
	if (list)
		freeaddrinfo(list);
	return found;
}

static void find_name(const char *label, struct view text, bool paranoid)
{
	struct sockaddr_storage address;
	char name[NI_MAXHOST];
	struct ipaddr ip;
	socklen_t len;

	if (!ipaddr_parse(text, &ip))
		usage();
	len = ipaddr_to_socket(&ip, 0, &address);
	if (getnameinfo((struct sockaddr *)&address, len, name, sizeof(name),
			NULL, 0, NI_NAMEREQD) == 0 &&
	    (!paranoid || leads_back(name, &ip)))
		answer(label, view_of(name));
}

static unsigned number(const char *text)
{
	uint64_t value;

	if (!view_u64(view_of(text), &value) || value > 86400)
		usage();
	return (unsigned)value;
}

static void find_peer(const struct wishes *wishes, char **arg)
{
	const struct ident ident = {
		.local_ip = view_of(arg[0]),
		.local_port = number(arg[1]),
		.remote_ip = view_of(arg[2]),
		.remote_port = number(arg[3]),
		.timeout_s = wishes->timeout_s,
	};
	struct str info = { 0 };

	if (wishes->local_host)
		find_name("l ", ident.local_ip, false);
	if (wishes->remote_host)
		find_name("h ", ident.remote_ip, wishes->paranoid);
	if (wishes->info && ident_ask(&ident, &info))
		answer("i ", str_view(&info));
	str_free(&info);
}

static void parse_options(struct wishes *wishes, int argc, char **argv)
{
	int option;

	opterr = 0;
	while ((option = getopt(argc, argv, "+hlprt:")) != -1)
		switch (option) {
		case 'h':
			wishes->remote_host = true;
			break;
		case 'l':
			wishes->local_host = true;
			break;
		case 'p':
			wishes->paranoid = true;
			break;
		case 'r':
			wishes->info = true;
			break;
		case 't':
			wishes->timeout_s = number(optarg);
			break;
		default:
			usage();
		}
}

int main(int argc, char **argv)
{
	struct wishes wishes = { .timeout_s = TIMEOUT_DEFAULT_S };
	struct view what;

	die_name("tcplookup");
	parse_options(&wishes, argc, argv);
	argc -= optind;
	argv += optind;
	what = view_of(argc ? argv[0] : NULL);
	if (argc == 2 && view_eq(what, VIEW("service")))
		find_service(argv[1]);
	else if (argc == 2 && view_eq(what, VIEW("host")))
		find_host(argv[1]);
	else if (argc == 5 && view_eq(what, VIEW("peer")))
		find_peer(&wishes, argv + 1);
	else
		usage();
	return EXIT_DONE;
}
