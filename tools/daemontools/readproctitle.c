/*
 * readproctitle - keep the last bytes of what is read in the own arguments.
 *
 * started by  svscanboot, so that ps shows what svscan complains of
 * fds         0 the complaints
 * exits       0 at the end of input, 100 for misuse, 111 if it cannot read
 */
#include <errno.h>
#include <unistd.h>

#include "lib/die.h"

#define DOTS 3 /* stay at the left */

/* Shift the new bytes in at the right end. */
static void show(char *title, size_t len, struct view bytes)
{
	if (bytes.len > len)
		bytes = view_from(bytes, bytes.len - len);
	memmove(title, title + bytes.len, len - bytes.len);
	memcpy(title + len - bytes.len, bytes.p, bytes.len);
}

/* NULs would end the argument. Returns how many bytes are left. */
static size_t drop_nuls(char *bytes, size_t len)
{
	size_t kept = 0;

	for (size_t i = 0; i < len; i++)
		if (bytes[i] != '\0')
			bytes[kept++] = bytes[i];
	return kept;
}

int main(int argc, char **argv)
{
	char space[1024];
	char *title;
	size_t len;
	ssize_t got;

	die_name("readproctitle");
	len = argc < 2 ? 0 : strlen(argv[argc - 1]);
	if (len < 5)
		die(EXIT_REJECT, "usage: readproctitle name ... .....");
	title = argv[argc - 1];
	memset(title, '.', len);
	while ((got = read(STDIN_FILENO, space, sizeof(space))) != 0) {
		if (got == -1 && errno == EINTR)
			continue;
		if (got == -1)
			die_errno(EXIT_RETRY, "fatal: unable to read input");
		show(title + DOTS, len - DOTS,
		     view_make(space, drop_nuls(space, (size_t)got)));
	}
	return EXIT_DONE;
}
