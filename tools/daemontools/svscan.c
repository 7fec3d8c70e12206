/*
 * svscan - start and watch a supervise for each service in a directory.
 *
 * started by  svscanboot, systemd, or as process 1 of a container
 * runs as     root, commonly
 * fds         passed on; a service with a log gets a pipe as its 1
 * exits       0 after SIGTERM, when every service is down; 100 for misuse;
 *             111 if it cannot begin
 *
 * It looks at the directory every five seconds. Whatever fails (fork, pipe,
 * memory, descriptors) is reported and tried again then; nothing but signals
 * ends it. As process 1 it reaps orphans.
 */
#include <signal.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/die.h"
#include "lib/polls.h"
#include "lib/sig.h"
#include "tools/daemontools/run.h"
#include "tools/daemontools/scan.h"

#define SCAN_EVERY_MS 5000
#define LEAVE_EVERY_MS 100

/* Wait until then or until a child dies. True if SIGTERM has come. */
static bool wait_until(struct scan *scan, struct polls *polls, int signal_fd,
		       int64_t deadline)
{
	bool term = false;
	int sig;

	polls_reset(polls);
	polls_add(polls, signal_fd, POLLIN);
	if (polls_wait(polls, deadline) == -1) {
		warn_errno("warning: unable to wait, pausing");
		sleep(1);
	}
	while ((sig = sig_next(signal_fd)))
		if (sig == SIGTERM)
			term = true;
	scan_reap(scan);
	return term;
}

static void run(struct scan *scan, struct polls *polls, int signal_fd)
{
	for (;;) {
		int64_t next = clock_mono_ms() + SCAN_EVERY_MS;

		scan_look(scan);
		while (clock_mono_ms() < next)
			if (wait_until(scan, polls, signal_fd, next))
				return;
	}
}

static void leave(struct scan *scan, struct polls *polls, int signal_fd)
{
	while (!scan_leave(scan))
		wait_until(scan, polls, signal_fd,
			   clock_mono_ms() + LEAVE_EVERY_MS);
}

int main(int argc, char **argv)
{
	static const int signals[] = { SIGCHLD, SIGTERM };
	struct scan scan = { 0 };
	struct polls polls = { 0 };
	int signal_fd;

	die_name("svscan");
	if (argc > 2)
		die(EXIT_REJECT, "usage: svscan [ directory ]");
	if (argc == 2 && chdir(argv[1]) == -1)
		die_errno(EXIT_RETRY, "fatal: unable to chdir to %s", argv[1]);
	run_fill_descriptors();
	sig_ignore_write_signals();
	signal_fd = sig_open(signals, COUNT_OF(signals));
	if (signal_fd == -1)
		die_errno(EXIT_RETRY, "fatal: unable to wait for signals");
	scan_init(&scan);
	run(&scan, &polls, signal_fd);
	leave(&scan, &polls, signal_fd);
	scan_free(&scan);
	polls_free(&polls);
	return EXIT_DONE;
}
