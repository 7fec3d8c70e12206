#include "tools/ucspi/between.h"

#include <fcntl.h>
#include <unistd.h>

#include "lib/die.h"

/* Whoever waits for the end of another descriptor does not wait for us. */
static void close_others(int a, int b)
{
	unsigned low = (unsigned)(a < b ? a : b);
	unsigned high = (unsigned)(a < b ? b : a);

	if (low > 3)
		close_range(3, low - 1, 0);
	if (high > low + 1)
		close_range(low + 1, high - 1, 0);
	close_range(high + 1, ~0U, 0);
}

static noreturn void pass_on(const struct relay *relay, int to_program,
			     int from_program)
{
	const struct relay_ends ends = {
		.in_from = STDIN_FILENO,
		.in_to = to_program,
		.out_from = from_program,
		.out_to = STDOUT_FILENO,
	};

	close_others(to_program, from_program);
	relay_pass(relay, &ends);
}

noreturn void between_run(const struct relay *relay, char *const *argv)
{
	int in[2];
	int out[2];
	pid_t pid;

	if (pipe2(in, O_CLOEXEC) == -1 || pipe2(out, O_CLOEXEC) == -1)
		die_errno(EXIT_RETRY, "fatal: unable to create pipe");
	pid = fork();
	if (pid == -1)
		die_errno(EXIT_RETRY, "fatal: unable to fork");
	if (pid == 0)
		pass_on(relay, in[1], out[0]);
	if (dup2(in[0], STDIN_FILENO) == -1 ||
	    dup2(out[1], STDOUT_FILENO) == -1)
		die_errno(EXIT_RETRY, "fatal: unable to set up descriptors");
	execvp(argv[0], argv);
	die_errno(EXIT_RETRY, "fatal: unable to run %s", argv[0]);
}
