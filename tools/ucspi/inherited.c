#include "tools/ucspi/inherited.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/ipaddr.h"

#define FIRST_FD 3
#define MANY 1000

static bool number(const char *name, uint64_t *value)
{
	return view_u64(view_of(getenv(name)), value);
}

static int option(int fd, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0 ? value : -1;
}

static bool listens(int fd, unsigned wanted)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	struct ipaddr ip;
	unsigned port;

	return option(fd, SO_TYPE) == SOCK_STREAM &&
	       option(fd, SO_ACCEPTCONN) == 1 &&
	       getsockname(fd, (struct sockaddr *)&address, &len) == 0 &&
	       ipaddr_from_socket((struct sockaddr *)&address, &ip, &port) &&
	       (wanted == 0 || port == wanted);
}

static bool make_ours(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags != -1 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 &&
	       fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

int inherited_take(unsigned port, int *fd)
{
	uint64_t pid;
	uint64_t count;

	*fd = -1;
	if (!number("LISTEN_PID", &pid) || pid != (uint64_t)getpid() ||
	    !number("LISTEN_FDS", &count) || count == 0 || count > MANY)
		return -1;
	for (int i = FIRST_FD; i < FIRST_FD + (int)count; i++) {
		if (*fd == -1 && listens(i, port) && make_ours(i))
			*fd = i;
		else
			close(i);
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return (int)count;
}
