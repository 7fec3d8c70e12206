/*
 * recordio - run a program and show its input and output on descriptor 2.
 *
 * fds         as the program's; between it and 0 and 1 is a child of it
 * exits       EXIT_REJECT for misuse, EXIT_RETRY when it cannot set up or run
 *             the program; else as the program
 */
#include <limits.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/inherit.h"
#include "lib/out.h"
#include "tools/ucspi/between.h"
#include "tools/ucspi/transcript.h"

struct recorder {
	pid_t pid; /* the program's */
	struct str lines;
};

/* A log that cannot be written must not stop what it is about. */
static void flush(struct str *lines)
{
	if (write_all(STDERR_FILENO, str_view(lines)) == -1) {
		/* There is nowhere to say it. */
	}
	str_reset(lines);
}

/* As many lines a write as a pipe takes in one piece. */
static void record(void *arg, enum relay_way way, struct view bytes,
		   struct str *to)
{
	struct recorder *r = arg;
	char arrow = way == RELAY_IN ? '<' : '>';
	size_t at = 0;

	str_append(to, bytes);
	if (bytes.len == 0)
		transcript_end(&r->lines, r->pid, arrow);
	while (bytes.len) {
		if (r->lines.len > PIPE_BUF - TRANSCRIPT_LINE_BYTES)
			flush(&r->lines);
		transcript_next(&r->lines, r->pid, arrow, &bytes, &at);
	}
	flush(&r->lines);
}

int main(int argc, char **argv)
{
	struct recorder recorder = { .pid = getpid() };
	const struct relay relay = { .name = "recordio",
				     .pass = record,
				     .arg = &recorder };

	die_name("recordio");
	if (argc < 2)
		die(EXIT_REJECT, "usage: recordio program [ arg ... ]");
	inherit_descriptors();
	between_run(&relay, argv + 1);
}
