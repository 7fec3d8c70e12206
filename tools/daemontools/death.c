#include "tools/daemontools/death.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILE_NAME "supervise/death"
#define NUMBER_MAX 255

int death_write(int wait_status)
{
	bool killed = WIFSIGNALED(wait_status);
	char text[DEATH_MAX_BYTES];
	int len = snprintf(
		text, sizeof(text), "%s %d\n", killed ? "signal" : "exit",
		killed ? WTERMSIG(wait_status) : WEXITSTATUS(wait_status));

	return service_replace(FILE_NAME, FILE_NAME ".new",
			       view_make(text, (size_t)len));
}

int death_forget(void)
{
	return unlink(FILE_NAME) == -1 && errno != ENOENT ? -1 : 0;
}

struct death death_parse(struct view text)
{
	static const struct death unknown = { .kind = DEATH_UNKNOWN };
	struct view line = view_first(text, view_find(text, '\n'));
	struct view word = view_cut(&line, ' ');
	struct death death;
	uint64_t number;

	if (!view_has(text, '\n'))
		return unknown;
	if (view_eq(word, VIEW("exit")))
		death.kind = DEATH_EXIT;
	else if (view_eq(word, VIEW("signal")))
		death.kind = DEATH_SIGNAL;
	else
		return unknown;
	if (!view_u64(line, &number) || number > NUMBER_MAX)
		return unknown;
	death.number = (unsigned)number;
	return death;
}

struct death death_read(int dirfd)
{
	static const struct death unknown = { .kind = DEATH_UNKNOWN };
	char text[DEATH_MAX_BYTES];
	int fd = openat(dirfd, FILE_NAME, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ssize_t got;

	if (fd == -1)
		return unknown;
	got = read(fd, text, sizeof(text));
	close(fd);
	return got > 0 ? death_parse(view_make(text, (size_t)got)) : unknown;
}
