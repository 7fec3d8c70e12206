#include "lib/usock.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int close_keeping_errno(int sock)
{
	int error = errno;

	close(sock);
	errno = error;
	return -1;
}

int usock_connect(int homefd, const char *path, int type)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (sock == -1)
		return -1;
	snprintf(to.sun_path, sizeof(to.sun_path), "/proc/self/fd/%d/%s",
		 homefd, path);
	if (connect(sock, (const struct sockaddr *)&to, sizeof(to)) == -1)
		return close_keeping_errno(sock);
	return sock;
}

int usock_listen(const char *path, int type, mode_t mode, int backlog)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t before;
	int result;

	if (sock == -1)
		return -1;
	if (unlink(path) == -1 && errno != ENOENT)
		return close_keeping_errno(sock);
	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	before = umask(0777 & ~mode);
	result = bind(sock, (const struct sockaddr *)&at, sizeof(at));
	umask(before);
	if (result == -1 || listen(sock, backlog) == -1)
		return close_keeping_errno(sock);
	return sock;
}
