#include "local/handed.h"

#include <stdlib.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/message.h"

const char *handed_variable(const char *name)
{
	const char *value = getenv(name);

	if (!value)
		die(EXIT_REJECT, "fatal: $%s is not set", name);
	return value;
}

int handed_message(uint64_t *size)
{
	int fd = message_slurp(STDIN_FILENO, size);

	if (fd == -1)
		die_errno(EXIT_RETRY, "fatal: unable to read the message");
	return fd;
}
