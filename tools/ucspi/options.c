#include "tools/ucspi/options.h"

#include <stdlib.h>
#include <unistd.h>

#include "lib/die.h"

#define LIMIT_DEFAULT 40
#define LIMIT_MAX 1000000
#define BACKLOG_DEFAULT 20
#define NETWORK_BITS 24
#define NETWORK_BITS6 64

static noreturn void usage(void)
{
	die(EXIT_REJECT, "usage: tcpserver [ -1UXpPhHrRoOdDqQv ] [ -c limit ] "
			 "[ -C limit ] [ -M limit/bits/bits6 ] "
			 "[ -F proxies ] "
			 "[ -x rules.cdb ] [ -B banner ] [ -g gid ] [ -u uid ] "
			 "[ -b backlog ] [ -l localname ] [ -t timeout ] "
			 "host port program");
}

/*
 * An id that is no number must not mean "stay root": with an unset variable
 * in the run script it would.
 */
static unsigned id(const char *what, const char *text)
{
	uint64_t value;

	if (!text || !view_u64(view_of(text), &value) || value >= UINT32_MAX)
		die(EXIT_REJECT, "%s is not a number: %s", what,
		    text ? text : "(not set)");
	return (unsigned)value;
}

static void set_uid(struct options *o, const char *what, const char *text)
{
	o->uid = id(what, text);
	o->change_uid = true;
}

static void set_gid(struct options *o, const char *what, const char *text)
{
	o->gid = id(what, text);
	o->change_gid = true;
}

/* -M 20, -M 20/24/64; no limit before the slash: sizes alone. */
static void set_per_network(struct options *o, struct view value)
{
	struct view limit = view_cut(&value, '/');

	if (limit.len || !value.p)
		o->per_network = option_number('M', limit, 1, LIMIT_MAX);
	if (value.p)
		o->network_bits =
			option_number('M', view_cut(&value, '/'), 0, 32);
	if (value.p)
		o->network_bits6 = option_number('M', value, 0, 128);
}

static void add_proxies(struct options *o, const char *value)
{
	if (!netlist_add(&o->proxies, view_of(value)))
		die(EXIT_REJECT, "option -F needs networks, not %.100s", value);
}

static void set_value(struct options *o, int option, const char *value)
{
	switch (option) {
	case 'b':
		o->backlog = option_number('b', view_of(value), 0, INT32_MAX);
		break;
	case 'B':
		o->banner = view_of(value);
		break;
	case 'c':
		o->limit = option_number('c', view_of(value), 1, LIMIT_MAX);
		break;
	case 'C':
		o->per_address =
			option_number('C', view_of(value), 1, LIMIT_MAX);
		break;
	case 'F':
		add_proxies(o, value);
		break;
	case 'g':
		set_gid(o, "option -g", value);
		break;
	case 'M':
		set_per_network(o, view_of(value));
		break;
	case 'u':
		set_uid(o, "option -u", value);
		break;
	case 'x':
		o->rules = value;
		break;
	default:
		usage();
	}
}

/* False when it is no flag of ours alone. */
static bool set_flag(struct options *o, int option)
{
	switch (option) {
	case '1':
		o->print_port = true;
		return true;
	case 'o':
	case 'O':
		o->keep_ip_options = option == 'o';
		return true;
	case 'p':
	case 'P':
		o->paranoid = option == 'p';
		return true;
	case 'U':
		set_gid(o, "$GID", getenv("GID"));
		set_uid(o, "$UID", getenv("UID"));
		return true;
	case 'X':
		o->rules_optional = true;
		return true;
	default:
		return false;
	}
}

void options_parse(struct options *o, int argc, char **argv)
{
	int option;

	*o = (struct options){
		.common = COMMON_OPTIONS_DEFAULT,
		.limit = LIMIT_DEFAULT,
		.network_bits = NETWORK_BITS,
		.network_bits6 = NETWORK_BITS6,
		.backlog = BACKLOG_DEFAULT,
	};
	opterr = 0;
	while ((option = getopt(argc, argv,
				"+1UXpPhHrRoOdDqQvb:B:c:C:F:g:l:M:t:u:x:")) !=
	       -1)
		if (!option_flag(&o->common, option) &&
		    !option_value(&o->common, option, optarg) &&
		    !set_flag(o, option))
			set_value(o, option, optarg);
	if (argc - optind < 3)
		usage();
	o->host = argv[optind];
	o->port = argv[optind + 1];
	o->program = argv + optind + 2;
}
