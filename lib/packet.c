#include "lib/packet.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define NO_MEMORY_MS 100
#define NO_MEMORY_WAITS 50

union control {
	struct cmsghdr head;
	char space[CMSG_SPACE(sizeof(int) * 4)];
};

/* Is the kernel short of memory only? Then wait a little: it passes. */
static bool no_memory(int *waits)
{
	if ((errno != ENOMEM && errno != ENOBUFS) || ++*waits > NO_MEMORY_WAITS)
		return false;
	poll(NULL, 0, NO_MEMORY_MS);
	return true;
}

int packet_pair(int fds[2])
{
	int size = 2 * PACKET_MAX_BYTES;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == -1)
		return -1;
	for (int i = 0; i < 2; i++)
		if (setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size,
			       sizeof(size)) == -1) {
			/* The system's default must do. */
		}
	return 0;
}

enum packet_result packet_send(int sock, struct view packet, int fd)
{
	union control control = { .space = { 0 } };
	struct iovec piece = {
		.iov_base = (void *)(uintptr_t)packet.p,
		.iov_len = packet.len,
	};
	struct msghdr msg = { .msg_iov = &piece, .msg_iovlen = 1 };
	ssize_t sent;
	int waits = 0;

	/* An empty packet would read as the end. */
	if (packet.len == 0 || packet.len > PACKET_MAX_BYTES) {
		errno = packet.len ? EMSGSIZE : EINVAL;
		return PACKET_ERROR;
	}
	if (fd != -1) {
		struct cmsghdr *head;

		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(sizeof(int));
		head = CMSG_FIRSTHDR(&msg);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(head), &fd, sizeof(fd));
	}
	do
		sent = sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (sent == -1 && (errno == EINTR || no_memory(&waits)));
	if (sent == -1 && errno == EAGAIN)
		return PACKET_AGAIN;
	if (sent == -1)
		return errno == EPIPE || errno == ECONNRESET ? PACKET_EOF
							     : PACKET_ERROR;
	return PACKET_OK;
}

/* Keep the first descriptor that came, close any other. */
static void take_descriptors(struct msghdr *msg, int *fd)
{
	for (struct cmsghdr *head = CMSG_FIRSTHDR(msg); head;
	     head = CMSG_NXTHDR(msg, head)) {
		size_t count;

		if (head->cmsg_level != SOL_SOCKET ||
		    head->cmsg_type != SCM_RIGHTS)
			continue;
		count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int got;

			memcpy(&got, CMSG_DATA(head) + i * sizeof(int),
			       sizeof(got));
			if (*fd == -1)
				*fd = got;
			else
				close(got);
		}
	}
}

static enum packet_result receive_bytes(int sock, char *to, size_t size,
					size_t *len, int *fd, int flags)
{
	union control control;
	struct iovec piece = { .iov_base = to, .iov_len = size };
	struct msghdr msg = { .msg_iov = &piece, .msg_iovlen = 1 };
	ssize_t got;
	int waits = 0;

	*fd = -1;
	*len = 0;
	msg.msg_control = control.space;
	msg.msg_controllen = sizeof(control.space);
	do
		got = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | flags);
	while (got == -1 && (errno == EINTR || no_memory(&waits)));
	if (got == -1 && errno == EAGAIN)
		return PACKET_AGAIN;
	if (got == -1)
		return errno == ECONNRESET ? PACKET_EOF : PACKET_ERROR;
	take_descriptors(&msg, fd);
	*len = (size_t)got;
	if (got > 0 && !(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return PACKET_OK;
	if (*fd != -1)
		close(*fd);
	*fd = -1;
	if (got)
		return PACKET_BAD;
	errno = 0;
	return PACKET_EOF;
}

static enum packet_result receive(int sock, struct str *packet, int *fd,
				  int flags)
{
	str_reset(packet);
	str_reserve(packet, PACKET_MAX_BYTES);
	return receive_bytes(sock, packet->p, PACKET_MAX_BYTES, &packet->len,
			     fd, flags);
}

enum packet_result packet_receive(int sock, struct str *packet, int *fd)
{
	return receive(sock, packet, fd, 0);
}

enum packet_result packet_receive_now(int sock, struct str *packet, int *fd)
{
	return receive(sock, packet, fd, MSG_DONTWAIT);
}

enum packet_result packet_receive_into(int sock, char *to, size_t size,
				       size_t *len, int *fd)
{
	return receive_bytes(sock, to, size, len, fd, MSG_DONTWAIT);
}
