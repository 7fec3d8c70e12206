#include "tools/daemontools/run.h"

#include <fcntl.h>
#include <unistd.h>

#include "lib/die.h"

noreturn void run_child(char *const *argv)
{
	execvp(argv[0], argv);
	die_errno(EXIT_RETRY, "fatal: unable to run %s", argv[0]);
}

void run_fill_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd != -1 && fd <= STDERR_FILENO);
	if (fd != -1)
		close(fd);
}
