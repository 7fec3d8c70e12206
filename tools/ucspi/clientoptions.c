#include "tools/ucspi/clientoptions.h"

#include <unistd.h>

#include "lib/die.h"

#define FIRST_TIMEOUT_DEFAULT_S 2
#define AGAIN_TIMEOUT_DEFAULT_S 58

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

	o->first_timeout_s = option_number('T', first, 0, OPTION_TIMEOUT_MAX_S);
	o->again_timeout_s =
		rest.p ? option_number('T', rest, 0, OPTION_TIMEOUT_MAX_S) : 0;
}

static void set_value(struct client_options *o, int option, const char *value)
{
	switch (option) {
	case 'i':
		o->has_local_ip = ipaddr_parse(view_of(value), &o->local_ip);
		if (!o->has_local_ip)
			usage();
		break;
	case 'p':
		o->local_port = option_number('p', view_of(value), 0, 65535);
		break;
	case 'T':
		set_timeouts(o, value);
		break;
	default:
		usage();
	}
}

void client_options_parse(struct client_options *o, int argc, char **argv)
{
	int option;

	*o = (struct client_options){
		.common = COMMON_OPTIONS_DEFAULT,
		.first_timeout_s = FIRST_TIMEOUT_DEFAULT_S,
		.again_timeout_s = AGAIN_TIMEOUT_DEFAULT_S,
	};
	opterr = 0;
	while ((option = getopt(argc, argv, "+dDhHqQrRvi:l:p:t:T:")) != -1)
		if (!option_flag(&o->common, option) &&
		    !option_value(&o->common, option, optarg))
			set_value(o, option, optarg);
	if (argc - optind < 3) {
		if (o->common.verbosity == QUIET)
			_exit(EXIT_REJECT);
		usage();
	}
	o->host = argv[optind];
	o->port = argv[optind + 1];
	o->program = argv + optind + 2;
}
