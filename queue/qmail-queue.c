/*
 * qmail-queue - queue a mail message: descriptor 0 is the message,
 * descriptor 1 the envelope.
 *
 * started by  anybody
 * runs as     whoever started it; qmail-queued does the work
 * fds         0 the message, 1 the envelope, 4 and 6 unused
 * exits       as qmail-queue(8) says: 0, or a code of lib/enqueue.h
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/enqueue.h"
#include "lib/home.h"
#include "lib/sig.h"
#include "queue/envelope.h"

#define LIMIT_SECONDS (24 * 60 * 60)

static noreturn void give_up(int sig)
{
	(void)sig;
	_exit(ENQUEUE_CODE_TIMEOUT);
}

/* The caller may have left any signal ignored or blocked. */
static void limit_time(void)
{
	struct sigaction action = { .sa_handler = give_up };
	sigset_t set;

	sigemptyset(&action.sa_mask);
	sigaction(SIGALRM, &action, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	alarm(LIMIT_SECONDS);
}

/*
 * A descriptor that the caller has closed must not become our socket: that
 * would then be read as the message. /dev/null opened for writing only
 * cannot be read.
 */
static void fill_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_WRONLY);
	while (fd != -1 && fd <= STDERR_FILENO);
	if (fd != -1)
		close(fd);
}

/* Up to size bytes; 0 at the end of file. */
static size_t read_some(int fd, char *space, size_t size)
{
	ssize_t got;

	do
		got = read(fd, space, size);
	while (got == -1 && errno == EINTR);
	if (got == -1)
		_exit(ENQUEUE_CODE_READ);
	return (size_t)got;
}

static void copy_message(struct enqueue *q)
{
	static char space[65536];
	size_t got;

	while (q->code == 0 &&
	       (got = read_some(STDIN_FILENO, space, sizeof(space))))
		enqueue_put(q, view_make(space, got));
}

/* Take the addresses in input. true when the envelope is over. */
static bool take_addresses(struct enqueue *q, struct envelope *e,
			   struct view input)
{
	for (;;) {
		switch (envelope_next(e, &input)) {
		case ENVELOPE_MORE:
			return false;
		case ENVELOPE_SENDER:
			enqueue_from(q, str_view(&e->address));
			break;
		case ENVELOPE_RECIPIENT:
			enqueue_to(q, str_view(&e->address));
			break;
		case ENVELOPE_END:
			return true;
		case ENVELOPE_TOO_LONG:
			enqueue_fail(q, ENQUEUE_CODE_ADDRESS_TOO_LONG);
			return true;
		case ENVELOPE_BAD:
			enqueue_fail(q, ENQUEUE_CODE_ENVELOPE);
			return true;
		}
	}
}

static void copy_envelope(struct enqueue *q)
{
	char space[4096];
	struct envelope e = { 0 };

	while (q->code == 0) {
		size_t got = read_some(STDOUT_FILENO, space, sizeof(space));

		if (got == 0)
			enqueue_fail(q, ENQUEUE_CODE_READ);
		else if (take_addresses(q, &e, view_make(space, got)))
			break;
	}
	envelope_free(&e);
}

int main(void)
{
	struct enqueue q;
	int homefd;
	int code = ENQUEUE_CODE_DONE;

	die_name("qmail-queue");
	die_retry_code(ENQUEUE_CODE_MEMORY);
	fill_descriptors();
	sig_ignore_write_signals();
	limit_time();
	homefd = home_open();
	if (homefd == -1)
		return ENQUEUE_CODE_HOME;
	/* It chooses a program instead of this one, for those who inject. */
	unsetenv("QMAILQUEUE");

	enqueue_open(&q, homefd);
	copy_message(&q);
	copy_envelope(&q);
	if (enqueue_close(&q) != ENQUEUE_DONE)
		code = q.code;
	enqueue_free(&q);
	return code;
}
