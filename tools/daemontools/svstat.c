/*
 * svstat - print one line about each service named.
 *
 * exits       0; what is wrong with a service stands in its line
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/out.h"
#include "tools/daemontools/death.h"
#include "tools/daemontools/service.h"

/* Whole seconds since then; 0 if the clock was set back. */
static uint64_t age_s(struct tai since)
{
	struct tai now = tai_now();

	return now.seconds > since.seconds ? now.seconds - since.seconds : 0;
}

static void describe(struct str *line, const struct service_status *status,
		     bool normally_up)
{
	if (status->pid)
		str_appendf(line, "up (pid %lu)", (unsigned long)status->pid);
	else
		str_append_c(line, "down");
	str_appendf(line, " %llu seconds",
		    (unsigned long long)age_s(status->since));
	if (status->pid && !normally_up)
		str_append_c(line, ", normally down");
	if (!status->pid && normally_up)
		str_append_c(line, ", normally up");
	if (status->pid && status->paused)
		str_append_c(line, ", paused");
	if (!status->pid && status->want == SERVICE_WANT_UP)
		str_append_c(line, ", want up");
	if (status->pid && status->want == SERVICE_WANT_DOWN)
		str_append_c(line, ", want down");
}

/* Behind all that the original says: who reads its words finds them. */
static void add_death(struct str *line, struct death death)
{
	switch (death.kind) {
	case DEATH_UNKNOWN:
		break;
	case DEATH_EXIT:
		str_appendf(line, ", last exit %u", death.number);
		break;
	case DEATH_SIGNAL:
		str_appendf(line, ", last killed by signal %u", death.number);
		break;
	}
}

static void trouble(struct str *line, const char *what)
{
	str_appendf(line, "%s: %s", what, strerror(errno));
}

static void report(struct str *line, int dirfd)
{
	struct service_status status;
	bool normally_up;
	struct stat st;

	switch (service_running(dirfd)) {
	case SERVICE_OK:
		break;
	case SERVICE_NOT_RUNNING:
		str_append_c(line, "supervise not running");
		return;
	case SERVICE_ERROR:
		trouble(line, "unable to open supervise/ok");
		return;
	}
	if (service_status(dirfd, &status) == -1) {
		trouble(line, "unable to read supervise/status");
		return;
	}
	normally_up = fstatat(dirfd, "down", &st, 0) == -1;
	if (normally_up && errno != ENOENT) {
		trouble(line, "unable to stat down");
		return;
	}
	describe(line, &status, normally_up);
	add_death(line, death_read(dirfd));
}

static void print(const char *dir)
{
	struct str line = { 0 };
	int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	str_appendf(&line, "%s: ", dir);
	if (fd == -1)
		trouble(&line, "unable to chdir");
	else
		report(&line, fd);
	str_append_byte(&line, '\n');
	if (write_all(STDOUT_FILENO, str_view(&line)) == -1)
		die_errno(EXIT_RETRY, "fatal: unable to write output");
	if (fd != -1)
		close(fd);
	str_free(&line);
}

int main(int argc, char **argv)
{
	die_name("svstat");
	for (int i = 1; i < argc; i++)
		print(argv[i]);
	return EXIT_DONE;
}
