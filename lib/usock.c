#include "lib/usock.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int usock_connect(int homefd, const char *path, int type)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (sock == -1)
		return -1;
	snprintf(to.sun_path, sizeof(to.sun_path), "/proc/self/fd/%d/%s",
		 homefd, path);
	if (connect(sock, (const struct sockaddr *)&to, sizeof(to)) == -1) {
		int error = errno;

		close(sock);
		errno = error;
		return -1;
	}
	return sock;
}
