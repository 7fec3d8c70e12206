#ifndef LIB_KEEP_H
#define LIB_KEEP_H

/*
 * What a service and its supervise say to each other, so that the port of
 * the service is never closed between two runs of it: supervise keeps the
 * listening socket.
 *
 * supervise listens at KEEP_SOCKET (SOCK_SEQPACKET) and answers nobody but
 * the process that it has started itself. A packet is a letter and a key,
 * what the socket is for (`192.0.2.1 25`); at most KEEP_MAX_BYTES.
 *
 *	KEEP_TAKE key         the answer is KEEP_HERE with the socket, or
 *	                      KEEP_NONE: then one for another key is closed
 *	KEEP_LEAVE key, fd    keep this one; the answer is KEEP_HERE, or
 *	                      KEEP_NONE when it is no listening socket
 */

#define KEEP_SOCKET "supervise/keep"
#define KEEP_MAX_BYTES 128

enum keep_letter {
	KEEP_TAKE = 't',
	KEEP_LEAVE = 'l',
	KEEP_HERE = 'h',
	KEEP_NONE = 'n',
};

#endif
