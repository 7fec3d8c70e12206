#include "tools/ucspi/deposit.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/keep.h"
#include "lib/packet.h"
#include "lib/ready.h"
#include "lib/usock.h"

/* supervise answers at once, unless the machine is in trouble. */
#define ANSWER_TIMEOUT_MS 5000

/* Is the one that listens there our parent? A shell between is no supervise. */
static bool is_our_parent(int sock)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       peer.pid == getppid();
}

/* Where our parent is, whatever directory the run script has gone to. */
static int open_directory(void)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/%ld/cwd", (long)getppid());
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

void deposit_open(struct deposit *deposit)
{
	int dir = open_directory();

	deposit->sock = -1;
	if (dir == -1)
		return;
	deposit->sock = usock_connect(dir, KEEP_SOCKET, SOCK_SEQPACKET);
	close(dir);
	if (deposit->sock != -1 && !is_our_parent(deposit->sock))
		deposit_close(deposit);
}

static bool say(struct deposit *deposit, char letter, struct view key, int fd)
{
	struct str packet = { 0 };
	bool sent;

	str_append_byte(&packet, letter);
	str_append(&packet, key);
	sent = packet_send(deposit->sock, str_view(&packet), fd) == PACKET_OK;
	str_free(&packet);
	return sent;
}

/* What supervise answers; 0, and it is never asked again, if it does not. */
static char hear(struct deposit *deposit, int *fd)
{
	char letter;
	size_t len;

	if (ready_wait(deposit->sock, POLLIN, ANSWER_TIMEOUT_MS, 0) == 0 &&
	    packet_receive_into(deposit->sock, &letter, 1, &len, fd) ==
		    PACKET_OK)
		return letter;
	*fd = -1;
	deposit_close(deposit);
	return 0;
}

int deposit_take(struct deposit *deposit, struct view key)
{
	int fd;

	if (deposit->sock == -1 || !say(deposit, KEEP_TAKE, key, -1))
		return -1;
	if (hear(deposit, &fd) == KEEP_HERE)
		return fd;
	if (fd != -1)
		close(fd);
	return -1;
}

/* Once it is answered it is kept, even if we are killed right then. */
void deposit_leave(struct deposit *deposit, struct view key, int fd)
{
	int none;

	if (deposit->sock == -1 || !say(deposit, KEEP_LEAVE, key, fd))
		return; /* the next one binds, as ever */
	if (hear(deposit, &none) && none != -1)
		close(none);
}

void deposit_close(struct deposit *deposit)
{
	if (deposit->sock != -1)
		close(deposit->sock);
	deposit->sock = -1;
}
