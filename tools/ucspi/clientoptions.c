#include "tools/ucspi/clientoptions.h"

#include <unistd.h>

#include "lib/die.h"

#define TIMEOUT_DEFAULT_S 26
#define FIRST_TIMEOUT_DEFAULT_S 2
#define AGAIN_TIMEOUT_DEFAULT_S 58
#define TIMEOUT_MAX_S 86400

static noreturn void usage(void)
{
	die(EXIT_REJECT,
	    "usage: tcpclient [ -hHrRdDqQv ] [ -i localip ] [ -p localport ] "
	    "[ -T timeoutconn ] [ -l localname ] [ -t timeoutinfo ] "
	    "host port program");
}

/* x or x+y */
static void set_timeouts(struct client_options *o, const char *value)
{
	struct view rest = view_of(value);
	struct view first = view_cut(&rest, '+');

	o->first_timeout_s = option_number('T', first, 0, TIMEOUT_MAX_S);
	o->again_timeout_s =
		rest.p ? option_number('T', rest, 0, TIMEOUT_MAX_S) : 0;
}

static void set_value(struct client_options *o, int option, const char *value)
{
	switch (option) {
	case 'i':
		o->has_local_ip = ipaddr_parse(view_of(value), &o->local_ip);
		if (!o->has_local_ip)
			usage();
		break;
	case 'l':
		o->local_host = value;
		break;
	case 'p':
		o->local_port = option_number('p', view_of(value), 0, 65535);
		break;
	case 't':
		o->timeout_s =
			option_number('t', view_of(value), 0, TIMEOUT_MAX_S);
		break;
	case 'T':
		set_timeouts(o, value);
		break;
	default:
		usage();
	}
}

/* False when the option is no flag. */
static bool set_flag(struct client_options *o, int option)
{
	switch (option) {
	case 'd':
	case 'D':
		o->no_delay = option == 'D';
		return true;
	case 'h':
	case 'H':
		o->remote_host = option == 'h';
		return true;
	case 'q':
		o->verbosity = QUIET;
		return true;
	case 'Q':
		o->verbosity = ERRORS;
		return true;
	case 'v':
		o->verbosity = VERBOSE;
		return true;
	case 'r':
	case 'R':
		o->remote_info = option == 'r';
		return true;
	default:
		return false;
	}
}

void client_options_parse(struct client_options *o, int argc, char **argv)
{
	int option;

	*o = (struct client_options){
		.verbosity = ERRORS,
		.timeout_s = TIMEOUT_DEFAULT_S,
		.first_timeout_s = FIRST_TIMEOUT_DEFAULT_S,
		.again_timeout_s = AGAIN_TIMEOUT_DEFAULT_S,
		.remote_host = true,
		.remote_info = true,
	};
	opterr = 0;
	while ((option = getopt(argc, argv, "+dDhHqQrRvi:l:p:t:T:")) != -1)
		if (!set_flag(o, option))
			set_value(o, option, optarg);
	if (argc - optind < 3) {
		if (o->verbosity == QUIET)
			_exit(EXIT_REJECT);
		usage();
	}
	o->host = argv[optind];
	o->port = argv[optind + 1];
	o->program = argv + optind + 2;
}
