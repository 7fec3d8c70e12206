#include "lib/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

int lock_take(int fd)
{
	int result;

	do
		result = flock(fd, LOCK_EX);
	while (result == -1 && errno == EINTR);
	return result;
}

int lock_try(int fd)
{
	return flock(fd, LOCK_EX | LOCK_NB);
}

int lock_release(int fd)
{
	return flock(fd, LOCK_UN);
}

int lock_open(int dirfd, const char *path, mode_t mode)
{
	int fd = openat(dirfd, path,
			O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
			mode);

	if (fd == -1)
		return -1;
	if (lock_take(fd) == -1) {
		int error = errno;

		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}
