#include "tools/ucspi/option.h"

#include "lib/die.h"

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
