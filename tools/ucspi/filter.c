#include "tools/ucspi/filter.h"

#include <unistd.h>

#include "lib/die.h"
#include "lib/in.h"
#include "lib/out.h"

int filter_run(void (*pass)(void *arg, struct view bytes, struct str *to),
	       void *arg)
{
	char space[8192];
	struct str to = { 0 };
	struct view bytes;
	enum in_result result;
	struct in in;
	int put;

	in_init(&in, STDIN_FILENO, space, sizeof(space), -1);
	do {
		result = in_chunk(&in, &bytes);
		if (result != IN_OK && result != IN_EOF)
			break;
		str_reset(&to);
		pass(arg, bytes, &to);
		in_consume(&in, bytes.len);
		put = write_all(STDOUT_FILENO, str_view(&to));
	} while (result == IN_OK && put == 0);
	str_free(&to);
	return result == IN_EOF && put == 0 ? EXIT_DONE : EXIT_RETRY;
}
