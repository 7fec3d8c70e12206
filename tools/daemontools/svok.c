/*
 * svok - is supervise running in this directory?
 *
 * exits       0 yes, 100 no (silently), 111 if it cannot tell
 */
#include <errno.h>
#include <fcntl.h>

#include "lib/die.h"
#include "tools/daemontools/service.h"

int main(int argc, char **argv)
{
	int fd;

	die_name("svok");
	if (argc != 2)
		die(EXIT_REJECT, "usage: svok dir");
	fd = open(argv[1], O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		die_errno(EXIT_RETRY, "fatal: unable to chdir to %s", argv[1]);
	switch (service_running(fd)) {
	case SERVICE_OK:
		return EXIT_DONE;
	case SERVICE_NOT_RUNNING:
		return EXIT_REJECT;
	case SERVICE_ERROR:
		if (errno == ENOENT)
			return EXIT_REJECT;
		break;
	}
	die_errno(EXIT_RETRY, "fatal: unable to open %s/supervise/ok", argv[1]);
}
