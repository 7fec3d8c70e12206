#include "tools/ucspi/option.h"

#include "lib/die.h"

bool option_flag(struct common_options *c, int option)
{
	switch (option) {
	case 'd':
	case 'D':
		c->no_delay = option == 'D';
		return true;
	case 'h':
	case 'H':
		c->remote_host = option == 'h';
		return true;
	case 'q':
		c->verbosity = QUIET;
		return true;
	case 'Q':
		c->verbosity = ERRORS;
		return true;
	case 'v':
		c->verbosity = VERBOSE;
		return true;
	case 'r':
	case 'R':
		c->remote_info = option == 'r';
		return true;
	default:
		return false;
	}
}

bool option_value(struct common_options *c, int option, const char *value)
{
	switch (option) {
	case 'l':
		c->local_host = value;
		return true;
	case 't':
		c->timeout_s = option_number('t', view_of(value), 0,
					     OPTION_TIMEOUT_MAX_S);
		return true;
	default:
		return false;
	}
}

unsigned option_number(char option, struct view text, unsigned min,
		       unsigned max)
{
	uint64_t value;

	if (!view_u64(text, &value) || value < min || value > max)
		die(EXIT_REJECT,
		    "option -%c needs a number from %u to %u, not %.*s", option,
		    min, max, (int)view_first(text, 100).len, text.p);
	return (unsigned)value;
}
