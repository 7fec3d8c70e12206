#include "tools/ucspi/dial.h"

#include <errno.h>
#include <poll.h>

#include "lib/ready.h"

int dial_open(bool v6)
{
	return socket(v6 ? AF_INET6 : AF_INET,
		      SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

int dial_bind(int fd, const struct ipaddr *ip, unsigned port)
{
	struct sockaddr_storage address;
	socklen_t len = ipaddr_to_socket(ip, port, &address);

	return bind(fd, (struct sockaddr *)&address, len);
}

static int finish(int fd, int timeout_ms)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (ready_wait(fd, POLLOUT, timeout_ms, 0) == -1 ||
	    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1)
		return -1;
	errno = error;
	return error ? -1 : 0;
}

int dial_connect(int fd, const struct ipaddr *ip, unsigned port, int timeout_ms)
{
	struct sockaddr_storage address;
	socklen_t len = ipaddr_to_socket(ip, port, &address);

	if (connect(fd, (struct sockaddr *)&address, len) == 0)
		return 0;
	return errno == EINPROGRESS ? finish(fd, timeout_ms) : -1;
}
