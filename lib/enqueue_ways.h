#ifndef LIB_ENQUEUE_WAYS_H
#define LIB_ENQUEUE_WAYS_H

/*
 * The two ways of lib/enqueue.c, and nobody else's: to qmail-queued over its
 * socket (lib/enqueue_socket.c), and to the program of QMAILQUEUE
 * (lib/enqueue_program.c). What fails here says so with enqueue_fail().
 */

#include "lib/enqueue.h"

/* Bytes are sent when this many have gathered. */
#define ENQUEUE_BUFFER_BYTES 32768
/* How long a peer may take no byte, or keep us waiting for its verdict. */
#define ENQUEUE_STALL_MS (INT64_C(60) * 60 * 1000)

void enqueue_close_fd(int *fd);

/* Connect, or take the kept connection, and wait for GO. */
void enqueue_socket_open(struct enqueue *q);
/* Small records travel together: a small message is one send. */
void enqueue_socket_put(struct enqueue *q, enum enqueue_type type,
			struct view value);
/* Send what has gathered. */
void enqueue_socket_flush(struct enqueue *q);
/* END, and the answer. */
void enqueue_socket_finish(struct enqueue *q);

void enqueue_program_open(struct enqueue *q, const char *program,
			  const struct launcher *launcher);
/* fd is one of q's pipes. */
void enqueue_program_write(struct enqueue *q, int fd, struct view bytes);
/* End of file on both pipes, and its verdict. */
void enqueue_program_finish(struct enqueue *q);
/* The result of code 82, whose text becomes fit for a reply. */
enum enqueue_result enqueue_program_custom(struct enqueue *q);

#endif
