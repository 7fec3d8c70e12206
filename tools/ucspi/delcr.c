/*
 * delcr - remove a CR before each LF.
 *
 * exits       EXIT_DONE at the end of input, EXIT_RETRY (silently) if it
 *             cannot read or write
 */
#include "lib/die.h"
#include "tools/ucspi/crlf.h"
#include "tools/ucspi/filter.h"

static void delete (void *arg, struct view bytes, struct str *to)
{
	struct crlf *crlf = arg;

	crlf_delete(crlf, to, bytes);
	if (bytes.len == 0)
		crlf_delete_end(crlf, to);
}

int main(void)
{
	struct crlf crlf = { 0 };

	die_name("delcr");
	return filter_run(delete, &crlf);
}
