/*
 * addcr - put a CR before each LF.
 *
 * exits       EXIT_DONE at the end of input, EXIT_RETRY (silently) if it
 *             cannot read or write
 */
#include "lib/die.h"
#include "tools/ucspi/crlf.h"
#include "tools/ucspi/filter.h"

static void add(void *arg, struct view bytes, struct str *to)
{
	(void)arg;
	crlf_add(to, bytes);
}

int main(void)
{
	die_name("addcr");
	return filter_run(add, NULL);
}
