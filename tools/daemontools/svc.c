/*
 * svc - send commands to the supervise of each service named.
 *
 * exits       0, also when a service could not be told (that is a warning);
 *             100 for an unknown option
 */
#include <fcntl.h>
#include <unistd.h>

#include "lib/die.h"
#include "tools/daemontools/service.h"

#define LETTERS "udopchaitkx"

static void control(const char *dir, struct view letters)
{
	int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd == -1) {
		warn_errno("warning: unable to chdir to %s", dir);
		return;
	}
	switch (service_control(fd, letters)) {
	case SERVICE_OK:
		break;
	case SERVICE_NOT_RUNNING:
		warn("warning: unable to control %s: supervise not running",
		     dir);
		break;
	case SERVICE_ERROR:
		warn_errno("warning: unable to control %s", dir);
		break;
	}
	close(fd);
}

int main(int argc, char **argv)
{
	struct str letters = { 0 };
	int letter;

	die_name("svc");
	opterr = 0;
	while ((letter = getopt(argc, argv, "+" LETTERS)) != -1) {
		if (letter == '?')
			die(EXIT_REJECT,
			    "svc options: u up, d down, o once, x exit, "
			    "p pause, c continue, h hup, a alarm, "
			    "i interrupt, t term, k kill");
		str_append_byte(&letters, (char)letter);
	}
	for (int i = optind; i < argc; i++)
		control(argv[i], str_view(&letters));
	str_free(&letters);
	return EXIT_DONE;
}
