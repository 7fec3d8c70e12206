#include "queue/server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/control.h"
#include "lib/die.h"
#include "lib/handover.h"
#include "lib/sig.h"
#include "lib/usock.h"
#include "queue/client.h"

#define BACKLOG 1024
/* So many are accepted before the others get their turn. */
#define ACCEPTS_AT_ONCE 64
/* Without a descriptor for another client we try again this much later. */
#define ACCEPT_PAUSE_MS 500
/* A trigger that could not be pulled is pulled so much later. */
#define TRIGGER_PAUSE_MS 1000
/*
 * Told to end, it waits so long to hear that qmail-send has been told, too,
 * then so long for its end, and looks so often.
 */
#define HEAR_MS 2000
#define LINGER_MS 10000
#define LINGER_LOOK_MS 50

/* ---- opening ---- */

static void load_delivery_ids(struct server *server)
{
	struct str text = { 0 };

	switch (control_read(server->homefd, "control/deliveryids", &text,
			     CONTROL_MAX_BYTES)) {
	case CONTROL_OK:
	case CONTROL_ABSENT:
		slots_delivery_ids(&server->slots, str_view(&text));
		break;
	case CONTROL_ERROR:
		/* It only reserves: mail is taken all the same. */
		warn_errno("cannot read control/deliveryids, keeping what was");
		break;
	}
	str_free(&text);
}

/* Segments that could not be looked at before: qmail-send should, now. */
static void look_at_log(struct server *server)
{
	uint32_t stale = appender_look(&server->appender);

	if (stale == 0)
		return;
	for (uint64_t i = 0; i < QLOG_SEGMENTS_MAX; i++)
		if (stale & UINT32_C(1) << i)
			handover_replay(&server->handover, i);
	if (server->appender.latest_id > server->spool.last_id)
		server->spool.last_id = server->appender.latest_id;
}

/* Without the log, or nobody to hand it to, every message is a file. */
static void open_log(struct server *server)
{
	appender_open(&server->appender, server->homefd, &server->committers);
	handover_open(&server->handover, &server->appender,
		      server->ids->single ? server->ids->single_uid
					  : server->slots.send_uid,
		      !server->spool.format.files_only);
	look_at_log(server);
}

void server_open(struct server *server, const struct qformat *format)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP };

	server->signals = sig_open(signals, COUNT_OF(signals));
	if (server->signals == -1)
		die_errno(EXIT_RETRY, "cannot receive signals");
	spool_init(&server->spool, server->homefd, format);
	if (spool_empty_pid(&server->spool) == -1)
		die_errno(EXIT_RETRY, "cannot empty queue/pid");
	slots_init(&server->slots, server->slot_count, server->ids);
	load_delivery_ids(server);
	if (committers_open(&server->committers, server->committer_count,
			    server->homefd, server->lockfd, format->sync) == -1)
		die(EXIT_RETRY, "cannot start any committer");
	open_log(server);
	/* Everybody may hand in mail. */
	server->listener =
		usock_listen(ENQUEUE_SOCKET, SOCK_STREAM, 0666, BACKLOG);
	if (server->listener == -1)
		die_errno(EXIT_RETRY, "cannot listen at %s", ENQUEUE_SOCKET);
}

/* ---- running ---- */

static void accept_clients(struct server *server)
{
	for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
		struct client *client;
		int sock = accept4(server->listener, NULL, NULL,
				   SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (sock == -1 && (errno == EAGAIN || errno == EINTR ||
				   errno == ECONNABORTED))
			return;
		if (sock == -1) {
			warn_errno("cannot accept a client");
			server->accept_ms = clock_mono_ms() + ACCEPT_PAUSE_MS;
			return;
		}
		client = client_open(server, sock);
		if (!client)
			continue;
		client->next = server->clients;
		server->clients = client;
	}
}

/* No new clients; those that have not said END are sent away. */
static void stop(struct server *server)
{
	if (server->listener == -1)
		return;
	close(server->listener);
	server->listener = -1;
	for (struct client *client = server->clients; client;
	     client = client->next)
		if (client->phase == CLIENT_TALKING)
			client_refuse(client, ENQUEUE_CODE_BUSY,
				      "shutting down");
}

/* A second request, or SIGINT, is meant for now. */
static void end(struct server *server, int sig)
{
	if (sig == SIGINT || server->linger_from_ms)
		stop(server);
	else
		server->linger_from_ms = clock_mono_ms();
}

static void obey_signals(struct server *server)
{
	int sig;

	while ((sig = sig_next(server->signals))) {
		if (sig == SIGHUP)
			load_delivery_ids(server);
		else
			end(server, sig);
	}
}

/* Whoever holds the other end of until_fd is gone: so should we. */
static void watch_until(struct server *server)
{
	char byte;
	ssize_t got = read(server->until_fd, &byte, 1);

	if (got > 0 || (got == -1 && errno == EINTR))
		return;
	server->until_fd = -1;
	stop(server);
}

/* 0, also when nobody reads it or it is full; -1 with errno. */
static int write_trigger(int homefd)
{
	int fd = openat(homefd, "queue/lock/trigger",
			O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	int result;
	int error;

	if (fd == -1)
		return errno == ENXIO ? 0 : -1;
	result = write(fd, "", 1) == 1 || errno == EAGAIN || errno == EPIPE
			 ? 0
			 : -1;
	error = errno;
	close(fd);
	errno = error;
	return result;
}

/* A qmail-send reads the trigger as long as it lives. */
static bool send_runs(int homefd)
{
	int fd = openat(homefd, "queue/lock/trigger",
			O_WRONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd == -1)
		return false;
	close(fd);
	return true;
}

/*
 * Whoever ends the whole house tells us and qmail-send at the same time. What
 * that has under way may want to queue a forwarded message or a bounce, and
 * would wait for another qmail-queued: so we end after it.
 */
static void linger(struct server *server)
{
	int64_t until_ms = server->linger_from_ms +
			   (server->handover.ending ? LINGER_MS : HEAR_MS);

	if (clock_mono_ms() >= until_ms || !send_runs(server->homefd))
		stop(server);
}

/*
 * Tell qmail-send; where that fails, again a little later. It looks by
 * itself when it starts, and once a minute.
 */
static void pull_trigger(struct server *server)
{
	bool again = server->trigger_ms != 0;

	if (again && clock_mono_ms() < server->trigger_ms)
		return;
	if (write_trigger(server->homefd) == 0) {
		server->trigger_due = false;
		server->trigger_ms = 0;
		return;
	}
	if (!again)
		warn_errno("cannot pull queue/lock/trigger, trying again");
	server->trigger_ms = clock_mono_ms() + TRIGGER_PAUSE_MS;
}

void server_tell_file(struct server *server, uint64_t id)
{
	if (!handover_file(&server->handover, id))
		server->trigger_due = true;
}

static void free_gone_clients(struct server *server)
{
	struct client **at = &server->clients;

	while (*at) {
		struct client *client = *at;

		if (client->phase != CLIENT_GONE) {
			at = &client->next;
			continue;
		}
		*at = client->next;
		client_free(client);
	}
}

static void prepare(struct server *server, int64_t *deadline)
{
	struct polls *polls = &server->polls;
	int listener = server->listener;

	polls_reset(polls);
	if (listener != -1 && clock_mono_ms() < server->accept_ms) {
		polls_until(deadline, server->accept_ms);
		listener = -1;
	}
	server->listener_no = polls_add(polls, listener, POLLIN);
	server->signals_no = polls_add(polls, server->signals, POLLIN);
	server->until_no = polls_add(polls, server->until_fd, POLLIN);
	if (server->trigger_due)
		polls_until(deadline, server->trigger_ms);
	if (server->linger_from_ms && server->listener != -1)
		polls_until(deadline, clock_mono_ms() + LINGER_LOOK_MS);
	appender_flush(&server->appender);
	committers_prepare(&server->committers, polls, deadline);
	look_at_log(server);
	appender_until(&server->appender, deadline);
	handover_prepare(&server->handover, polls, deadline);
	for (struct client *client = server->clients; client;
	     client = client->next)
		client_prepare(client, polls, deadline);
}

static void act(struct server *server)
{
	const struct polls *polls = &server->polls;

	if (polls_ready(polls, server->signals_no))
		obey_signals(server);
	if (server->until_fd != -1 && polls_ready(polls, server->until_no))
		watch_until(server);
	if (server->linger_from_ms)
		linger(server);
	committers_act(&server->committers, polls);
	handover_act(&server->handover, polls);
	for (struct client *client = server->clients; client;
	     client = client->next)
		client_act(client, polls);
	if (server->listener != -1 && polls_ready(polls, server->listener_no))
		accept_clients(server);
	if (server->trigger_due)
		pull_trigger(server);
	free_gone_clients(server);
}

void server_run(struct server *server)
{
	while (server->listener != -1 || server->clients ||
	       !appender_is_idle(&server->appender)) {
		int64_t deadline = POLLS_NEVER;

		prepare(server, &deadline);
		if (polls_wait(&server->polls, deadline) == -1)
			die_errno(EXIT_RETRY, "cannot wait for clients");
		act(server);
	}
}

void server_close(struct server *server)
{
	handover_close(&server->handover);
	committers_close(&server->committers);
	appender_close(&server->appender);
	slots_free(&server->slots);
	polls_free(&server->polls);
	close(server->signals);
}
