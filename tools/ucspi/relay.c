#include "tools/ucspi/relay.h"

#include <errno.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/out.h"
#include "lib/polls.h"
#include "lib/sandbox.h"
#include "lib/sig.h"

#define CHUNK_BYTES 8192

struct way {
	enum relay_way name;
	int from; /* -1: nothing more comes */
	int to;   /* -1: nothing more goes */
	struct str waiting;
	size_t written; /* of it */
	size_t poll_no;
};

static void close_end(int *fd)
{
	if (*fd != -1)
		close(*fd);
	*fd = -1;
}

static bool is_waiting(const struct way *w)
{
	return w->written < w->waiting.len;
}

static bool is_over(const struct way *w)
{
	return w->from == -1 && w->to == -1;
}

static void prepare(struct way *w, struct polls *polls)
{
	if (is_over(w))
		return;
	w->poll_no = is_waiting(w) ? polls_add(polls, w->to, POLLOUT)
				   : polls_add(polls, w->from, POLLIN);
}

static void take(const struct relay *relay, struct way *w)
{
	char space[CHUNK_BYTES];
	ssize_t got = read(w->from, space, sizeof(space));

	if (got == -1 && (errno == EINTR || errno == EAGAIN))
		return;
	/* A connection that broke has ended, too. */
	relay->pass(relay->arg, w->name,
		    view_make(space, got > 0 ? (size_t)got : 0), &w->waiting);
	if (got <= 0) {
		close_end(&w->from);
		close_end(&w->to);
	}
}

/* Where nobody takes our bytes, whoever sends them should know. */
static void give(struct way *w)
{
	struct view rest = view_from(str_view(&w->waiting), w->written);
	ssize_t put = write_some(w->to, rest.p, rest.len);

	if (put == -1 && (errno == EINTR || errno == EAGAIN))
		return;
	if (put <= 0) {
		str_reset(&w->waiting);
		w->written = 0;
		close_end(&w->from);
		close_end(&w->to);
		return;
	}
	w->written += (size_t)put;
	if (is_waiting(w))
		return;
	str_reset(&w->waiting);
	w->written = 0;
}

static void act(const struct relay *relay, struct way *w,
		const struct polls *polls)
{
	if (is_over(w) || !polls_ready(polls, w->poll_no))
		return;
	if (is_waiting(w))
		give(w);
	else
		take(relay, w);
}

static void confine(const struct relay *relay)
{
	const struct sandbox sandbox = {
		.name = relay->name,
		.calls = SANDBOX_IO,
		.quiet = true,
	};

	if (sandbox_enter(&sandbox) == -1)
		die_errno(EXIT_RETRY, "fatal: unable to enter the sandbox");
}

noreturn void relay_pass(const struct relay *relay,
			 const struct relay_ends *ends)
{
	struct way in = { RELAY_IN, .from = ends->in_from, .to = ends->in_to };
	struct way out = { RELAY_OUT, .from = ends->out_from,
			   .to = ends->out_to };
	struct polls polls = { 0 };

	sig_ignore_write_signals();
	confine(relay);
	while (!is_over(&out)) {
		polls_reset(&polls);
		prepare(&in, &polls);
		prepare(&out, &polls);
		if (polls_wait(&polls, POLLS_NEVER) == -1)
			die_errno(EXIT_RETRY, "fatal: unable to poll");
		act(relay, &in, &polls);
		act(relay, &out, &polls);
	}
	_exit(EXIT_DONE);
}
