#include "remote/client.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/ready.h"

#define QUIT_MS 1000

/* Commands go out when they are complete: nothing is gained by waiting. */
static void send_at_once(int fd)
{
	int on = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == -1) {
		/* It is slower then, no more. */
	}
}

static int finish_connect(int fd, int timeout_ms)
{
	socklen_t size = sizeof(int);
	int error;

	if (errno != EINPROGRESS)
		return -1;
	if (ready_wait(fd, POLLOUT, timeout_ms, 0) == -1 ||
	    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == -1)
		return -1;
	errno = error;
	return error ? -1 : 0;
}

int client_connect(struct client *client, const struct ipaddr *ip,
		   unsigned port, int timeout_ms)
{
	struct sockaddr_storage address;
	socklen_t len = ipaddr_to_socket(ip, port, &address);
	int fd;

	fd = socket(address.ss_family,
		    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return -1;
	if (connect(fd, (struct sockaddr *)&address, len) == -1 &&
	    finish_connect(fd, timeout_ms) == -1) {
		int error = errno;

		close(fd);
		errno = error;
		return -1;
	}
	send_at_once(fd);
	client->fd = fd;
	client->trouble = CLIENT_FINE;
	client->reply = (struct reply){ 0 };
	in_init(&client->in, fd, client->in_space, sizeof(client->in_space),
		-1);
	out_init(&client->out, fd, client->out_space, sizeof(client->out_space),
		 -1);
	return 0;
}

void client_close(struct client *client)
{
	reply_free(&client->reply);
	if (client->fd != -1)
		close(client->fd);
	client->fd = -1;
}

static bool lost(struct client *client)
{
	client->trouble = CLIENT_LOST;
	return false;
}

void client_put(struct client *client, struct view piece)
{
	/* A failure sticks, and client_flush() tells. */
	out_put(&client->out, piece);
}

bool client_flush(struct client *client, int timeout_ms)
{
	client->out.timeout_ms = timeout_ms;
	return out_flush(&client->out) == 0 || lost(client);
}

/*
 * On a connection that is used for long the kernel puts off acknowledgments,
 * and a server that says its replies one by one waits for them.
 */
static void acknowledge_at_once(int fd)
{
	int on = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on)) == -1) {
		/* It is slower then, no more. */
	}
}

/* The whole reply within the time, however slowly it comes. */
static bool read_reply(struct client *client, int timeout_ms)
{
	enum reply_state state = REPLY_MORE;
	struct view chunk;

	client->in.timeout_ms = timeout_ms;
	client->in.deadline_ms = clock_mono_ms() + timeout_ms;
	reply_reset(&client->reply);
	while (state == REPLY_MORE) {
		size_t had;

		if (in_buffered(&client->in) == 0)
			acknowledge_at_once(client->fd);
		if (in_chunk(&client->in, &chunk) != IN_OK)
			return lost(client);
		had = chunk.len;
		state = reply_feed(&client->reply, &chunk);
		in_consume(&client->in, had - chunk.len);
	}
	if (state == REPLY_DONE)
		return true;
	client->trouble = CLIENT_NOT_SMTP;
	return false;
}

bool client_reply(struct client *client, int timeout_ms)
{
	return client_flush(client, timeout_ms) &&
	       read_reply(client, timeout_ms);
}

void client_quit(struct client *client)
{
	if (client->trouble != CLIENT_FINE)
		return;
	client_put(client, VIEW("QUIT\r\n"));
	if (!client_flush(client, QUIT_MS)) {
		/* It will see that we are gone. */
	}
}
