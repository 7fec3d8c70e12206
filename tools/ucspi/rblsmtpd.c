/*
 * rblsmtpd - run a mail server for clients that are on no block list.
 *
 * fds         0 and 1 the client, 2 the log; all are passed on
 * processes   a child of it asks DNS, in a sandbox (blockask.h)
 * exits       EXIT_REJECT for misuse, EXIT_RETRY when the program cannot be
 *             run, EXIT_DONE when the client was refused; else as the program
 */
#include <stdlib.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/inherit.h"
#include "tools/ucspi/blockask.h"
#include "tools/ucspi/option.h"
#include "tools/ucspi/refusal.h"

#define SESSION_DEFAULT_S 60
#define DNS_DEFAULT_S 10
#define NUMBER_MAX 1000000 /* of weights and limits */

struct options {
	unsigned session_s;
	unsigned dns_s;
	struct blocklists lists;
	char **program;
};

static noreturn void usage(void)
{
	die(EXIT_REJECT,
	    "usage: rblsmtpd [ -bBcC ] [ -t timeout ] [ -T timeoutdns ] "
	    "[ -l limit ] [ -w weight ] [ -r base ] [ -a base ] "
	    "smtpd [ arg ... ]");
}

static void add_list(struct options *o, const struct blocklist *settings,
		     bool allows, const char *base)
{
	struct blocklist list = *settings;

	list.allows = allows;
	list.base = view_of(base);
	if (!blocklists_add(&o->lists, &list))
		die(EXIT_REJECT, "no name of a list: %s", base);
}

/* What b, c and w say is for the lists behind them. */
static void take_option(struct options *o, struct blocklist *settings,
			int option)
{
	struct view value = view_of(optarg);

	switch (option) {
	case 'b':
	case 'B':
		settings->is_final = option == 'b';
		break;
	case 'c':
	case 'C':
		settings->fails_closed = option == 'c';
		break;
	case 'w':
		settings->weight = option_number('w', value, 1, NUMBER_MAX);
		break;
	case 'l':
		o->lists.limit = option_number('l', value, 1, NUMBER_MAX);
		break;
	case 't':
		o->session_s =
			option_number('t', value, 0, OPTION_TIMEOUT_MAX_S);
		break;
	case 'T':
		o->dns_s = option_number('T', value, 1, OPTION_TIMEOUT_MAX_S);
		break;
	case 'r':
	case 'a':
		add_list(o, settings, option == 'a', optarg);
		break;
	default:
		usage();
	}
}

static void parse_options(struct options *o, int argc, char **argv)
{
	struct blocklist settings = { 0 };
	int option;

	opterr = 0;
	while ((option = getopt(argc, argv, "+bBcCw:l:t:T:r:a:")) != -1)
		take_option(o, &settings, option);
	if (optind == argc)
		usage();
	o->program = argv + optind;
}

/* What RBLSMTPD says: nothing, a text, or one for good behind a hyphen. */
static enum verdict judge_by_variable(const char *value, struct str *text)
{
	bool is_final = value[0] == '-';

	if (!value[0])
		return VERDICT_PASS;
	str_set_c(text, value + is_final);
	return is_final ? VERDICT_REFUSE : VERDICT_DEFER;
}

static enum verdict judge(struct options *o, struct view ip_text,
			  struct str *text)
{
	const char *variable = getenv("RBLSMTPD");
	struct ipaddr ip;

	if (variable)
		return judge_by_variable(variable, text);
	/* Nobody can be asked about a client without an address. */
	if (!ipaddr_parse(ip_text, &ip))
		return VERDICT_PASS;
	return blockask(&o->lists, &ip, ip_text, o->dns_s, text);
}

static noreturn void run_program(char **program)
{
	execvp(program[0], program);
	warn_errno("fatal: unable to run %s", program[0]);
	_exit(EXIT_RETRY);
}

int main(int argc, char **argv)
{
	struct options options = {
		.session_s = SESSION_DEFAULT_S,
		.dns_s = DNS_DEFAULT_S,
		.lists.limit = BLOCKLISTS_LIMIT_DEFAULT,
	};
	struct view ip = view_of(getenv("TCPREMOTEIP"));
	struct str text = { 0 };
	enum verdict verdict;

	die_name("rblsmtpd");
	inherit_descriptors();
	parse_options(&options, argc, argv);
	verdict = judge(&options, ip, &text);
	if (verdict != VERDICT_PASS)
		refusal_serve(&(struct refusal){
			.ip = ip,
			.text = str_view(&text),
			.is_final = verdict == VERDICT_REFUSE,
			.timeout_s = options.session_s,
		});
	str_free(&text);
	blocklists_free(&options.lists);
	run_program(options.program);
}
