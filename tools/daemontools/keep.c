#include "tools/daemontools/keep.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/die.h"
#include "lib/packet.h"
#include "lib/usock.h"

#define BACKLOG 4
#define DEAF_MS 1000
#define NOT_POLLED SIZE_MAX

static void close_it(int *fd)
{
	if (*fd != -1)
		close(*fd);
	*fd = -1;
}

void keep_open(struct keep *keep, const char *dir)
{
	*keep = (struct keep){ .conn_fd = -1, .kept_fd = -1 };
	keep->listen_fd =
		usock_listen(KEEP_SOCKET, SOCK_SEQPACKET, 0600, BACKLOG);
	if (keep->listen_fd == -1)
		warn_errno("warning: unable to listen at %s/%s", dir,
			   KEEP_SOCKET);
}

void keep_drop(struct keep *keep)
{
	close_it(&keep->kept_fd);
	keep->drop_at_ms = 0;
}

void keep_died(struct keep *keep, bool by_signal)
{
	close_it(&keep->conn_fd);
	if (!keep->claimed && !by_signal)
		keep_drop(keep);
	if (keep->kept_fd != -1 && keep->drop_at_ms == 0)
		keep->drop_at_ms = clock_mono_ms() + KEEP_UNCLAIMED_MS;
	keep->claimed = false;
}

/* ---- what ./run asks ---- */

static bool is_kept(const struct keep *keep, struct view key)
{
	return keep->kept_fd != -1 &&
	       view_eq(view_make(keep->key, keep->key_len), key);
}

static void answer(struct keep *keep, char letter, int fd)
{
	if (packet_send(keep->conn_fd, view_make(&letter, 1), fd) != PACKET_OK)
		close_it(&keep->conn_fd);
}

static void hand_out(struct keep *keep, struct view key)
{
	bool kept = is_kept(keep, key);

	if (!kept)
		keep_drop(keep);
	answer(keep, kept ? KEEP_HERE : KEEP_NONE, keep->kept_fd);
}

static bool is_listening(int fd)
{
	int yes = 0;
	socklen_t len = sizeof(yes);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &len) == 0 &&
	       yes;
}

static void take_in(struct keep *keep, struct view key, int fd)
{
	if (fd == -1 || !is_listening(fd)) {
		close_it(&fd);
		answer(keep, KEEP_NONE, -1);
		return;
	}
	keep_drop(keep);
	keep->kept_fd = fd;
	keep->key_len = key.len;
	memcpy(keep->key, key.p, key.len);
	answer(keep, KEEP_HERE, -1);
}

static void obey(struct keep *keep, struct view packet, int fd)
{
	struct view key = view_from(packet, 1);

	keep->claimed = true;
	keep->drop_at_ms = 0;
	if (packet.p[0] == KEEP_LEAVE) {
		take_in(keep, key, fd);
		return;
	}
	close_it(&fd);
	if (packet.p[0] == KEEP_TAKE)
		hand_out(keep, key);
	else
		close_it(&keep->conn_fd);
}

/* One packet a turn: nobody keeps us from our work. */
static void converse(struct keep *keep)
{
	char bytes[KEEP_MAX_BYTES];
	size_t len;
	int fd;

	switch (packet_receive_into(keep->conn_fd, bytes, sizeof(bytes), &len,
				    &fd)) {
	case PACKET_OK:
		obey(keep, view_make(bytes, len), fd);
		break;
	case PACKET_AGAIN:
		break;
	case PACKET_EOF:
	case PACKET_BAD:
	case PACKET_ERROR:
		close_it(&keep->conn_fd);
		break;
	}
}

/* Only what we have started ourselves: a shell's child is not meant. */
static bool is_from(int fd, pid_t pid)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return pid != 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       peer.pid == pid;
}

static void let_in(struct keep *keep, pid_t pid)
{
	int fd = accept4(keep->listen_fd, NULL, NULL,
			 SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd == -1) {
		if (errno != EAGAIN)
			keep->deaf_until_ms = clock_mono_ms() + DEAF_MS;
		return;
	}
	if (!is_from(fd, pid)) {
		close(fd);
		return;
	}
	close_it(&keep->conn_fd);
	keep->conn_fd = fd;
}

/* ---- the loop ---- */

void keep_prepare(struct keep *keep, struct polls *polls, int64_t *deadline)
{
	int64_t now = clock_mono_ms();

	keep->listen_no = NOT_POLLED;
	keep->conn_no = NOT_POLLED;
	if (keep->deaf_until_ms > now)
		polls_until(deadline, keep->deaf_until_ms);
	else if (keep->listen_fd != -1)
		keep->listen_no = polls_add(polls, keep->listen_fd, POLLIN);
	if (keep->conn_fd != -1)
		keep->conn_no = polls_add(polls, keep->conn_fd, POLLIN);
	if (keep->drop_at_ms)
		polls_until(deadline, keep->drop_at_ms);
}

void keep_act(struct keep *keep, const struct polls *polls, pid_t pid)
{
	/* It may have gone with its process meanwhile. */
	if (keep->conn_fd != -1 && keep->conn_no != NOT_POLLED &&
	    polls_ready(polls, keep->conn_no))
		converse(keep);
	if (keep->listen_no != NOT_POLLED &&
	    polls_ready(polls, keep->listen_no))
		let_in(keep, pid);
	if (keep->drop_at_ms && clock_mono_ms() >= keep->drop_at_ms)
		keep_drop(keep);
}
