#include "send/syncmode.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/control.h"
#include "lib/durable.h"

#define FORMAT_PATH "queue/format"
#define FORMAT_MAX_BYTES 65536

void syncmode_replace(struct str *to, struct view text, enum qsync sync)
{
	while (text.len) {
		struct view line = view_cut(&text, '\n');

		if (view_starts(line, VIEW("sync ")))
			line = sync == QSYNC_JOURNAL ? VIEW("sync journal")
						     : VIEW("sync posix");
		str_append(to, line);
		str_append_byte(to, '\n');
	}
}

static int probe(int homefd, enum qsync *sync)
{
	int queue = openat(homefd, "queue", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (queue == -1)
		return -1;
	*sync = qformat_probe_sync(queue);
	close(queue);
	return 0;
}

int syncmode_settle(int homefd)
{
	struct str text = { 0 };
	struct str wanted = { 0 };
	enum qsync sync;
	int result = -1;
	int error;

	if (probe(homefd, &sync) == -1)
		return -1;
	if (control_read(homefd, FORMAT_PATH, &text, FORMAT_MAX_BYTES) ==
	    CONTROL_OK) {
		syncmode_replace(&wanted, str_view(&text), sync);
		result = 0;
		if (!view_eq(str_view(&text), str_view(&wanted)))
			result = durable_replace(homefd, FORMAT_PATH,
						 str_view(&wanted), 0644);
	}
	error = errno;
	str_free(&text);
	str_free(&wanted);
	errno = error;
	return result;
}
