#ifndef LIB_PACKET_H
#define LIB_PACKET_H

/*
 * Whole messages over a SOCK_SEQPACKET socket, with at most one descriptor
 * attached: the carrier of the job protocol (doc/delivery.md). What arrives
 * is bytes from another process: the caller checks them.
 */

#include "lib/str.h"

/* No packet is longer; bigger content travels in a memfd. */
#define PACKET_MAX_BYTES 163840

enum packet_result {
	PACKET_OK,
	/*
	 * The other side has closed. After packet_receive() errno is
	 * ECONNRESET when it closed before it had read what we sent, else 0.
	 */
	PACKET_EOF,
	PACKET_AGAIN, /* would block; only on non-blocking sockets */
	PACKET_BAD, /* too long, or its descriptor was lost; *packet has what came */
	PACKET_ERROR, /* errno says why */
};

/* A connected pair, both ends close-on-exec. -1 with errno. */
int packet_pair(int fds[2]) MUST_USE;

/*
 * fd is -1 or is sent along; it stays the caller's. ERROR for a packet over
 * the limit (EMSGSIZE) and for an empty one (EINVAL).
 */
enum packet_result packet_send(int sock, struct view packet, int fd) MUST_USE;

/*
 * *packet is overwritten. *fd becomes the descriptor that came along
 * (close-on-exec, the caller's to close) or -1.
 */
enum packet_result packet_receive(int sock, struct str *packet,
				  int *fd) MUST_USE;
/* The same, if there is one now: else AGAIN, whatever the socket's mode. */
enum packet_result packet_receive_now(int sock, struct str *packet,
				      int *fd) MUST_USE;

/*
 * The same into `size` bytes of the caller's, without memory of its own; BAD
 * for a longer one. *len is what came.
 */
enum packet_result packet_receive_into(int sock, char *to, size_t size,
				       size_t *len, int *fd) MUST_USE;

#endif
