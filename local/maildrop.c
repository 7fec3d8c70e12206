#include "local/maildrop.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/maildir.h"
#include "lib/message.h"
#include "lib/out.h"

#define QUEUE_DIGITS 16
/* A first attempt comes sooner after acceptance than this. */
#define FIRST_ATTEMPT_S 5

static bool is_hex(struct view v)
{
	uint64_t number;

	return view_hex64(v, &number);
}

static uint64_t first_recipient(const struct job *job)
{
	struct view rest = job->recipients;
	struct job_recipient rcpt;

	return job_next(&rest, &rcpt) ? rcpt.number : 0;
}

static void append_host(struct str *name, struct view host)
{
	for (size_t i = 0; i < host.len; i++) {
		if (host.p[i] == '/')
			str_append_c(name, "\\057");
		else if (host.p[i] == ':')
			str_append_c(name, "\\072");
		else
			str_append_byte(name, host.p[i]);
	}
}

void maildrop_name(struct str *name, const struct job *job, size_t line,
		   struct view host)
{
	struct view queue = view_first(job->queue, QUEUE_DIGITS);

	if (queue.len < QUEUE_DIGITS || !is_hex(queue)) {
		maildir_name(name, host);
		return;
	}
	str_reset(name);
	str_append_u64(name, job->id / 1000000);
	str_append(name, VIEW(".Q"));
	str_append(name, queue);
	str_append_byte(name, 'I');
	str_append_u64(name, job->id);
	str_append_byte(name, 'R');
	str_append_u64(name, first_recipient(job));
	if (line > 1) {
		str_append_byte(name, 'L');
		str_append_u64(name, line);
	}
	str_append_byte(name, '.');
	append_host(name, host);
}

static struct view host_name(char *space, size_t size)
{
	if (gethostname(space, size) == -1 || !space[0])
		return VIEW("localhost");
	space[size - 1] = '\0';
	return view_of(space);
}

static int write_message(int fd, const struct job *job,
			 const struct envelope *envelope, bool *reading)
{
	struct str lines = { 0 };
	int result;

	*reading = false;
	str_append(&lines, str_view(&envelope->rpline));
	str_append(&lines, str_view(&envelope->dtline));
	/* What is in memory goes out at once. */
	if (job->fd == -1)
		str_append(&lines, job->message);
	result = write_all(fd, str_view(&lines));
	str_free(&lines);
	if (result == -1 || job->fd == -1)
		return result;
	return message_copy(job, fd, reading);
}

static int trouble(struct verdict *v, const char *path)
{
	verdict_warn_errno(v, "cannot deliver to maildir", path);
	return verdict_defer(v,
			     "Temporary error on maildir delivery. (#4.3.0)");
}

/* A file could not be begun: is there a directory at all? */
static int trouble_beginning(struct verdict *v, const char *path)
{
	int error = errno;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd == -1) {
		verdict_warn_errno(v, "cannot open maildir", path);
		return verdict_defer(v, "Unable to chdir to maildir. (#4.2.1)");
	}
	close(fd);
	errno = error;
	return trouble(v, path);
}

static int deliver_to(struct verdict *v, const char *path, struct view name,
		      const struct job *job, const struct envelope *envelope)
{
	struct maildir_file file;
	int64_t age_s;
	bool reading;

	if (maildir_begin(&file, AT_FDCWD, path, name) == -1)
		return trouble_beginning(v, path);
	/* Younger than nothing: the clock was set back, and says nothing. */
	age_s = clock_wall_s() - (int64_t)(job->id / 1000000);
	file.may_repeat = age_s < 0 || age_s > FIRST_ATTEMPT_S;
	file.disks = job->disks;
	if (write_message(file.fd, job, envelope, &reading) == -1) {
		maildir_abort(&file);
		if (!reading)
			return trouble(v, path);
		return verdict_defer(v, "Unable to read message. (#4.3.0)");
	}
	if (maildir_commit(&file) == -1)
		return trouble(v, path);
	return 0;
}

int maildrop_deliver(struct verdict *v, const char *path, const struct job *job,
		     size_t line, const struct envelope *envelope)
{
	struct str name = { 0 };
	char host[256];
	int result;

	maildrop_name(&name, job, line, host_name(host, sizeof(host)));
	result = deliver_to(v, path, str_view(&name), job, envelope);
	str_free(&name);
	return result;
}
