#include "local/condition.h"

#include <errno.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/spawn.h"

bool condition_holds(const char *const *argv, int message)
{
	struct spawn how = { .argv = argv, .search_path = true, .asks = true };
	pid_t pid;
	int status;

	if (lseek(message, 0, SEEK_SET) == -1 && errno != ESPIPE)
		die_errno(EXIT_RETRY, "fatal: unable to rewind the message");
	spawn_fd(&how, message, STDIN_FILENO);
	pid = spawn_start(&how);
	if (pid == -1)
		die_errno(EXIT_RETRY, "fatal: unable to run %s", argv[0]);
	if (spawn_wait(pid, &status) == -1)
		die_errno(EXIT_RETRY, "fatal: unable to wait for %s", argv[0]);
	switch (spawn_exit_code(status)) {
	case EXIT_DONE:
		return true;
	case EXIT_RETRY:
		_exit(EXIT_RETRY);
	case -1:
		die(EXIT_RETRY, "fatal: %s crashed", argv[0]);
	default:
		return false;
	}
}
