/*
 * qmail-queued - take messages from local programs and put them into the
 * queue, durably.
 *
 * started by  supervise as a service, or qmail-start where there is none
 * runs as     qmailq; started by root it becomes that at once
 * fds         2 the log; with -e, 0: at its end of file it ends
 * exits       EXIT_DONE when told to end, after the messages whose END has
 *             come; EXIT_REJECT for misuse; EXIT_RETRY for anything else
 *
 * doc/queue.md has the protocol and the order of steps.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/home.h"
#include "lib/ids.h"
#include "lib/lock.h"
#include "lib/memory.h"
#include "lib/sandbox.h"
#include "lib/sig.h"
#include "queue/server.h"

#define LOCK_PATH "queue/socket/lock"
#define LOCK_LOOK_MS 200

#define SLOTS_DEFAULT 200
#define COMMITTERS_DEFAULT 8
#define COMMITTERS_MAX 64
#define IDLE_SECONDS (UINT64_C(20) * 60)
#define TOTAL_SECONDS (UINT64_C(24) * 60 * 60)

/* Descriptors that are neither a client nor its file. */
#define OTHER_FDS 40

struct options {
	bool end_with_input;
	uint64_t slots;
	uint64_t committers;
	uint64_t idle_s;
	uint64_t total_s;
};

static noreturn void usage(void)
{
	die(EXIT_REJECT, "usage: qmail-queued [-e] [-c committers] [-s slots] "
			 "[-t idle-seconds] [-T total-seconds]");
}

static uint64_t number(const char *text, uint64_t max)
{
	uint64_t value;

	if (!view_u64(view_of(text), &value) || value == 0 || value > max)
		usage();
	return value;
}

static struct options parse_options(int argc, char **argv)
{
	struct options o = {
		.slots = SLOTS_DEFAULT,
		.committers = COMMITTERS_DEFAULT,
		.idle_s = IDLE_SECONDS,
		.total_s = TOTAL_SECONDS,
	};
	int c;

	opterr = 0;
	while ((c = getopt(argc, argv, "ec:s:t:T:")) != -1)
		switch (c) {
		case 'e':
			o.end_with_input = true;
			break;
		case 'c':
			o.committers = number(optarg, COMMITTERS_MAX);
			break;
		case 's':
			o.slots = number(optarg, 100000);
			break;
		case 't':
			o.idle_s = number(optarg, TOTAL_SECONDS);
			break;
		case 'T':
			o.total_s = number(optarg, TOTAL_SECONDS);
			break;
		default:
			usage();
		}
	if (optind != argc)
		usage();
	return o;
}

/* 0 to 2 exist, so that nothing of ours is taken for the log or the input. */
static void fill_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd != -1 && fd <= STDERR_FILENO);
	if (fd == -1)
		die_errno(EXIT_RETRY, "open /dev/null");
	close(fd);
}

/*
 * Only root may look into the file system's superblock, so this comes before
 * becoming qmailq; queue/format can be wrong where the queue was copied.
 */
static bool must_sync_folders(int homefd)
{
	int queue;
	bool must;

	if (geteuid() != 0)
		return false;
	queue = openat(homefd, "queue", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (queue == -1)
		die_errno(EXIT_RETRY, "cannot open queue");
	must = qformat_probe_sync(queue) == QSYNC_POSIX;
	close(queue);
	return must;
}

static void become_qmailq(const struct ids *ids)
{
	uid_t uid;
	gid_t gid;

	if (ids_user(ids, "qmailq", &uid, &gid) == -1)
		die_errno(EXIT_RETRY, "users/ids: no qmailq");
	if (ids_become(uid, gid) == -1)
		die_errno(EXIT_RETRY,
			  "must be started by root or as uid %lu gid %lu",
			  (unsigned long)uid, (unsigned long)gid);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		die_errno(EXIT_RETRY, "cannot give up new privileges");
}

/* A queue of somebody else's, or users/ids written for another machine. */
static void check_owner(int homefd, const char *path, uid_t want)
{
	struct stat st;

	if (fstatat(homefd, path, &st, 0) == -1)
		die_errno(EXIT_RETRY, "cannot look at %s", path);
	if (st.st_uid != want)
		die(EXIT_RETRY,
		    "%s belongs to uid %lu, but users/ids says it is %lu", path,
		    (unsigned long)st.st_uid, (unsigned long)want);
}

static void load_format(int homefd, struct qformat *format)
{
	switch (qformat_load(homefd, format)) {
	case QFORMAT_OK:
		return;
	case QFORMAT_ABSENT:
		die(EXIT_RETRY, "no queue/format: no queue has been made here");
	case QFORMAT_NEWER:
		die(EXIT_RETRY, "queue/format is of a newer version than %d",
		    QFORMAT_VERSION);
	case QFORMAT_ERROR:
		die_errno(EXIT_RETRY, "cannot use queue/format");
	}
}

/* Wait for the lock, and for the end of input if that is our end. */
static int take_lock(int homefd, int until_fd)
{
	int fd = openat(homefd, LOCK_PATH,
			O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
			0600);
	bool said = false;

	if (fd == -1)
		die_errno(EXIT_RETRY, "cannot open %s", LOCK_PATH);
	while (lock_try(fd) == -1) {
		struct pollfd until = { .fd = until_fd, .events = POLLIN };
		char byte;

		if (errno != EWOULDBLOCK && errno != EINTR)
			die_errno(EXIT_RETRY, "cannot lock %s", LOCK_PATH);
		if (!said)
			warn("waiting for %s", LOCK_PATH);
		said = true;
		if (poll(&until, 1, LOCK_LOOK_MS) > 0 &&
		    read(until_fd, &byte, 1) == 0)
			_exit(EXIT_DONE);
	}
	return fd;
}

/* Each client needs two descriptors: the connection and its file. */
static size_t slots_for_descriptors(uint64_t wanted)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
		die_errno(EXIT_RETRY, "cannot tell the limit of descriptors");
	if (limit.rlim_cur < OTHER_FDS + 2)
		die(EXIT_RETRY, "too few descriptors: %lu",
		    (unsigned long)limit.rlim_cur);
	if (wanted > (limit.rlim_cur - OTHER_FDS) / 2)
		return (limit.rlim_cur - OTHER_FDS) / 2;
	return wanted;
}

/* From here on it needs the queue, and its settings again at SIGHUP. */
static int confine(int homefd)
{
	const struct landlock_path paths[] = {
		{ homefd, "queue",
		  LANDLOCK_READ | LANDLOCK_WRITE | LANDLOCK_MOVE |
			  LANDLOCK_SOCKET },
		{ homefd, "control", LANDLOCK_READ },
		/* For committers that are started later. */
		{ AT_FDCWD, "/dev/null", LANDLOCK_READ | LANDLOCK_WRITE },
	};
	const struct sandbox sandbox = {
		.name = "qmail-queued",
		.calls = SANDBOX_IO | SANDBOX_FILES_READ | SANDBOX_FILES_WRITE |
			 SANDBOX_UNIX_SERVER | SANDBOX_PACKET | SANDBOX_FORK |
			 SANDBOX_TIGHTEN,
		.paths = paths,
		.path_count = COUNT_OF(paths),
	};

	return sandbox_enter(&sandbox);
}

int main(int argc, char **argv)
{
	static struct server server;
	struct options options;
	struct qformat format;
	struct ids ids;
	bool sync_folders;

	die_name("qmail-queued");
	options = parse_options(argc, argv);
	fill_descriptors();
	umask(0007);
	sig_ignore_write_signals();
	memory_patient();
	memory_keep();
	server.homefd = home_open();
	if (server.homefd == -1 || fchdir(server.homefd) == -1)
		die_errno(EXIT_RETRY, "cannot open the home directory");
	if (ids_load(&ids, server.homefd) == -1)
		die_errno(EXIT_RETRY, "cannot read users/ids");
	sync_folders = must_sync_folders(server.homefd);
	become_qmailq(&ids);

	check_owner(server.homefd, "queue", geteuid());
	check_owner(server.homefd, "users", ids.single ? ids.single_uid : 0);
	load_format(server.homefd, &format);
	if (sync_folders)
		format.sync = QSYNC_POSIX;
	server.until_fd = options.end_with_input ? STDIN_FILENO : -1;
	server.lockfd = take_lock(server.homefd, server.until_fd);
	server.ids = &ids;
	server.slot_count = slots_for_descriptors(options.slots);
	server.committer_count = options.committers;
	server.idle_ms = (int64_t)options.idle_s * 1000;
	server.total_ms = (int64_t)options.total_s * 1000;
	if (confine(server.homefd) == -1)
		die_errno(EXIT_RETRY, "cannot enter the sandbox");
	server_open(&server, &format);
	warn("listening, split %lu, sync %s", (unsigned long)format.split,
	     format.sync == QSYNC_JOURNAL ? "journal" : "posix");
	server_run(&server);
	server_close(&server);
	ids_free(&ids);
	return EXIT_DONE;
}
