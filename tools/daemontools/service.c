#include "tools/daemontools/service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

void service_pack(char to[SERVICE_STATUS_BYTES],
		  const struct service_status *status)
{
	uint32_t pid = status->pid;

	tai_pack(to, status->since);
	for (size_t i = 0; i < 4; i++, pid >>= 8)
		to[TAI_PACK_BYTES + i] = (char)(pid & 255);
	to[16] = status->paused ? 1 : 0;
	to[17] = status->want;
}

struct service_status service_unpack(const char from[SERVICE_STATUS_BYTES])
{
	struct service_status status = {
		.since = tai_unpack(from),
		.paused = from[16] != 0,
		.want = from[17],
	};

	for (size_t i = 4; i-- > 0;)
		status.pid = status.pid << 8 |
			     (unsigned char)from[TAI_PACK_BYTES + i];
	return status;
}

/* A descriptor for writing to a FIFO that somebody reads, or -1. */
static int open_fifo(int dirfd, const char *path)
{
	return openat(dirfd, path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
}

enum service_result service_running(int dirfd)
{
	int fd = open_fifo(dirfd, "supervise/ok");

	if (fd != -1) {
		close(fd);
		return SERVICE_OK;
	}
	return errno == ENXIO ? SERVICE_NOT_RUNNING : SERVICE_ERROR;
}

enum service_result service_control(int dirfd, struct view letters)
{
	int fd = open_fifo(dirfd, "supervise/control");
	ssize_t put;
	int error;

	if (fd == -1)
		return errno == ENXIO ? SERVICE_NOT_RUNNING : SERVICE_ERROR;
	/* A FIFO takes up to PIPE_BUF bytes as a whole or not at all. */
	put = write(fd, letters.p, letters.len);
	error = put == -1 ? errno : EAGAIN;
	close(fd);
	if (put == (ssize_t)letters.len)
		return SERVICE_OK;
	errno = error;
	return error == EPIPE ? SERVICE_NOT_RUNNING : SERVICE_ERROR;
}

int service_replace(const char *path, const char *path_new, struct view bytes)
{
	int fd = open(path_new,
		      O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_CLOEXEC,
		      0644);
	ssize_t put;
	int error;

	if (fd == -1)
		return -1;
	put = write(fd, bytes.p, bytes.len);
	error = put == -1 ? errno : ENOSPC;
	close(fd);
	if (put == (ssize_t)bytes.len)
		return rename(path_new, path);
	errno = error;
	return -1;
}

int service_status(int dirfd, struct service_status *status)
{
	char bytes[SERVICE_STATUS_BYTES];
	int fd = openat(dirfd, "supervise/status",
			O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ssize_t got;
	int error;

	if (fd == -1)
		return -1;
	got = read(fd, bytes, sizeof(bytes));
	error = got == -1 ? errno : EPROTO;
	close(fd);
	if (got != (ssize_t)sizeof(bytes)) {
		errno = error;
		return -1;
	}
	*status = service_unpack(bytes);
	return 0;
}
