#include "lib/message.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/out.h"

static ssize_t read_message(struct in *in, void *to, size_t size)
{
	struct message_reader *reader = (struct message_reader *)in;
	ssize_t got = job_message_read(reader->job, to, size, reader->offset);

	if (got == 0 && reader->offset < reader->job->size) {
		errno = EIO;
		return -1;
	}
	if (got > 0)
		reader->offset += (uint64_t)got;
	return got;
}

void message_start(struct message_reader *reader, const struct job *job)
{
	in_init(&reader->in, -1, reader->space, sizeof(reader->space), -1);
	reader->in.read = read_message;
	reader->job = job;
	reader->offset = 0;
}

int message_copy(const struct job *job, int fd, bool *reading)
{
	struct message_reader reader;
	enum in_result result;
	struct view chunk;

	message_start(&reader, job);
	*reading = false;
	while ((result = in_chunk(&reader.in, &chunk)) == IN_OK) {
		if (write_all(fd, chunk) == -1)
			return -1;
		in_consume(&reader.in, chunk.len);
	}
	*reading = result != IN_EOF;
	return *reading ? -1 : 0;
}

static int copy_all(int from, int to, uint64_t *size)
{
	char space[65536];
	ssize_t got;

	*size = 0;
	if (lseek(from, 0, SEEK_SET) == -1 && errno != ESPIPE)
		return -1;
	while ((got = read(from, space, sizeof(space))) != 0) {
		if (got == -1 && errno == EINTR)
			continue;
		if (got == -1 ||
		    write_all(to, view_make(space, (size_t)got)) == -1)
			return -1;
		*size += (uint64_t)got;
	}
	return 0;
}

int message_slurp(int fd, uint64_t *size)
{
	int memfd = memfd_create("message", MFD_CLOEXEC);
	int error;

	if (memfd == -1 || copy_all(fd, memfd, size) == 0)
		return memfd;
	error = errno;
	close(memfd);
	errno = error;
	return -1;
}

/* The same where it lies in memory. Half a line is no header line. */
static int inline_header_has(struct view message, struct view line)
{
	while (message.len) {
		struct view got = view_cut(&message, '\n');

		if (got.len == 0 || !message.p)
			break;
		if (view_eq(got, line))
			return 1;
	}
	return 0;
}

int message_header_has(const struct job *job, struct view line)
{
	struct message_reader reader;
	struct str got = { 0 };
	int found = -1;

	if (job->fd == -1)
		return inline_header_has(job->message, line);
	message_start(&reader, job);
	while (found == -1) {
		switch (in_line_raw(&reader.in, &got, line.len)) {
		case IN_OK:
			if (got.len == 0)
				found = 0;
			else if (view_eq(str_view(&got), line))
				found = 1;
			break;
		case IN_TOO_LONG:
			break;
		case IN_EOF: /* half a line is no header line */
			found = 0;
			break;
		case IN_TIMEOUT:
		case IN_ERROR:
			goto out;
		}
	}
out:
	str_free(&got);
	return found;
}
