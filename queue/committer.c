#include "queue/committer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/die.h"
#include "lib/durable.h"
#include "lib/mutant.h"
#include "lib/out.h"
#include "lib/packet.h"
#include "lib/qlog.h"
#include "lib/record.h"
#include "lib/sandbox.h"
#include "lib/spawn.h"

/* One that dies at once is not started more often than this. */
#define RESTART_MS 1000
/* The kind and the shard. */
#define REQUEST_BYTES 16
#define PREPARE_BYTES 65536

/* ---- in the committer ---- */

enum child_fd { /* what it keeps, behind 0 to 2 */
		CHILD_SOCK = 3,
		CHILD_HOME = 4,
		CHILD_LOCK = 5,
		CHILD_FDS = 6,
};

static int sync_folder(uint64_t shard)
{
	char path[64];

	snprintf(path, sizeof(path), "queue/new/%llu",
		 (unsigned long long)shard);
	return durable_sync_dir(CHILD_HOME, path);
}

/* Sync once; a failed sync is never repeated. */
static int sync_file(int fd, uint64_t shard, enum qsync sync)
{
	if (MUTANT(queue_syncs_other))
		return sync_folder(shard);
	if (!MUTANT(queue_no_sync) && durable_sync(fd) == -1)
		return -1;
	if (sync == QSYNC_POSIX && !MUTANT(queue_no_dir_sync))
		return sync_folder(shard);
	return 0;
}

static int sync_segment(int fd)
{
	if (MUTANT(log_no_sync))
		return 0;
	if (MUTANT(log_syncs_other))
		return durable_sync_dir(CHILD_HOME, QLOG_FOLDER);
	return durable_sync_data(fd);
}

/* All of its blocks are there, written and synced, before it is used. */
static int prepare_segment(int fd)
{
	static const char zeros[PREPARE_BYTES];

	if (ftruncate(fd, 0) == -1)
		return -1;
	for (uint64_t at = 0; at < QLOG_SEGMENT_BYTES; at += sizeof(zeros))
		if (write_all(fd, view_make(zeros, sizeof(zeros))) == -1)
			return -1;
	if (durable_sync(fd) == -1)
		return -1;
	return durable_sync_dir(CHILD_HOME, QLOG_FOLDER);
}

/* Returns 0 or errno. */
static int commit_one(struct view request, int fd, enum qsync sync)
{
	int result = -1;

	errno = EPROTO;
	if (request.len != REQUEST_BYTES || fd == -1)
		return errno;
	switch (le64_read(request.p)) {
	case COMMIT_FILE:
		result = sync_file(fd, le64_read(request.p + 8), sync);
		break;
	case COMMIT_LOG:
		result = sync_segment(fd);
		break;
	case COMMIT_PREPARE:
		result = prepare_segment(fd);
		break;
	}
	return result == -1 ? errno : 0;
}

static noreturn void serve(enum qsync sync)
{
	struct str request = { 0 };
	char answer[8];
	int fd;

	while (packet_receive(CHILD_SOCK, &request, &fd) == PACKET_OK) {
		int error = MUTANT(queue_answers_first)
				    ? 0
				    : commit_one(str_view(&request), fd, sync);
		int late = MUTANT(queue_answers_first) ? dup(fd) : -1;

		/* Closed before the answer: then nobody else has it. */
		if (fd != -1)
			close(fd);
		le64_write(answer, (uint64_t)error);
		if (packet_send(CHILD_SOCK, view_make(answer, sizeof(answer)),
				-1) != PACKET_OK)
			break;
		if (MUTANT(queue_answers_first)) {
			(void)!commit_one(str_view(&request), late, sync);
			close(late);
		}
	}
	_exit(EXIT_DONE);
}

/* Move what it needs to 3, 4, 5, and let go of everything else. */
static int keep_descriptors(const struct committers *c, int sock)
{
	const int from[] = { sock, c->homefd, c->lockfd };
	int parked[COUNT_OF(from)];

	for (size_t i = 0; i < COUNT_OF(from); i++) {
		parked[i] = fcntl(from[i], F_DUPFD_CLOEXEC, CHILD_FDS);
		if (parked[i] == -1)
			return -1;
	}
	for (size_t i = 0; i < COUNT_OF(from); i++)
		if (dup3(parked[i], CHILD_SOCK + (int)i, O_CLOEXEC) == -1)
			return -1;
	return close_range(CHILD_FDS, ~0U, 0);
}

/* It syncs what it is handed and the folder of that. */
static int confine(void)
{
	const struct landlock_path folders[] = {
		{ CHILD_HOME, "queue/new", LANDLOCK_READ },
		{ CHILD_HOME, QLOG_FOLDER, LANDLOCK_READ },
	};
	const struct sandbox sandbox = {
		.name = "committer",
		.calls = SANDBOX_IO | SANDBOX_FILES_READ,
		.paths = folders,
		.path_count = COUNT_OF(folders),
		.max_fds = 16,
		.quiet = true,
	};

	return sandbox_enter(&sandbox);
}

static noreturn void child(const struct committers *c, int sock)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	/* Descriptor 0 may be what tells qmail-queued to end. */
	if (null == -1 || dup2(null, 0) == -1 || dup2(null, 1) == -1 ||
	    keep_descriptors(c, sock) == -1)
		die_errno(EXIT_RETRY, "committer: cannot place descriptors");
	if (confine() == -1)
		die_errno(EXIT_RETRY, "committer: cannot enter the sandbox");
	serve(c->sync);
}

/* ---- in qmail-queued ---- */

static void start(struct committers *c, struct committer *one)
{
	int pair[2];

	one->start_ms = clock_mono_ms() + RESTART_MS;
	if (packet_pair(pair) == -1) {
		warn_errno("cannot start a committer");
		return;
	}
	one->pid = fork();
	if (one->pid == 0)
		child(c, pair[1]);
	close(pair[1]);
	if (one->pid == -1) {
		warn_errno("cannot start a committer");
		close(pair[0]);
		return;
	}
	one->sock = pair[0];
}

int committers_open(struct committers *c, size_t count, int homefd, int lockfd,
		    enum qsync sync)
{
	bool running = false;

	*c = (struct committers){
		.count = count,
		.homefd = homefd,
		.lockfd = lockfd,
		.sync = sync,
	};
	c->list = calloc(count, sizeof(*c->list));
	if (!c->list)
		die(EXIT_RETRY, "out of memory");
	for (size_t i = 0; i < count; i++) {
		c->list[i].sock = -1;
		start(c, &c->list[i]);
		running = running || c->list[i].sock != -1;
	}
	return running ? 0 : -1;
}

static void finish(struct committer *one, int error)
{
	struct commit *commit = one->at;

	one->at = NULL;
	commit->done(commit, error);
}

static void reap(const struct committer *one, int *status)
{
	*status = 0;
	if (spawn_wait(one->pid, status) == -1)
		warn_errno("cannot wait for a committer");
}

/* It is gone, or talks nonsense: what it was at has failed. */
static void lose(struct committer *one)
{
	int status;

	close(one->sock);
	one->sock = -1;
	reap(one, &status);
	warn("a committer ended (status %d), starting another", status);
	if (one->at)
		finish(one, EIO);
}

static void hand_over(struct committer *one, struct commit *commit)
{
	char request[REQUEST_BYTES];

	le64_write(request, commit->kind);
	le64_write(request + 8, commit->shard);
	one->at = commit;
	if (packet_send(one->sock, view_make(request, sizeof(request)),
			commit->fd) != PACKET_OK)
		lose(one);
}

static struct commit *take_first(struct committers *c)
{
	struct commit *commit = c->first;

	c->first = commit->next;
	if (!c->first)
		c->last = NULL;
	return commit;
}

static void hand_out(struct committers *c)
{
	for (size_t i = 0; i < c->count && c->first; i++)
		if (c->list[i].sock != -1 && !c->list[i].at)
			hand_over(&c->list[i], take_first(c));
}

void committers_submit(struct committers *c, struct commit *commit)
{
	commit->next = NULL;
	if (c->last)
		c->last->next = commit;
	else
		c->first = commit;
	c->last = commit;
	hand_out(c);
}

void committers_prepare(struct committers *c, struct polls *polls,
			int64_t *deadline)
{
	int64_t now = clock_mono_ms();

	for (size_t i = 0; i < c->count; i++) {
		struct committer *one = &c->list[i];

		if (one->sock == -1 && now >= one->start_ms)
			start(c, one);
		if (one->sock == -1)
			polls_until(deadline, one->start_ms);
		one->poll_no = polls_add(polls, one->sock, POLLIN);
	}
	hand_out(c);
}

static void take_answer(struct committers *c, struct committer *one)
{
	uint64_t error;
	int fd;

	if (packet_receive(one->sock, &c->answer, &fd) != PACKET_OK ||
	    c->answer.len != 8 || fd != -1 || !one->at) {
		if (fd != -1)
			close(fd);
		lose(one);
		return;
	}
	error = le64_read(c->answer.p);
	finish(one, error <= INT32_MAX ? (int)error : EIO);
}

void committers_act(struct committers *c, const struct polls *polls)
{
	for (size_t i = 0; i < c->count; i++)
		if (c->list[i].sock != -1 &&
		    polls_ready(polls, c->list[i].poll_no))
			take_answer(c, &c->list[i]);
	hand_out(c);
}

void committers_close(struct committers *c)
{
	int status;

	for (size_t i = 0; i < c->count; i++) {
		assert(!c->list[i].at);
		if (c->list[i].sock != -1)
			close(c->list[i].sock);
	}
	for (size_t i = 0; i < c->count; i++)
		if (c->list[i].sock != -1)
			reap(&c->list[i], &status);
	free(c->list);
	str_free(&c->answer);
	*c = (struct committers){ 0 };
}
