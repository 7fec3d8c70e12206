/*
 * qmail-start - start the delivery of the queue.
 *
 *	qmail-start [ defaultdelivery [ logger arg ... ] ]
 *
 * started by  supervise, as root; as the one user of an instance that has
 *             only one
 * becomes     qmail-send, with qmail-lspawn and qmail-rspawn as children,
 *             and qmail-queued where nobody else runs it
 * fds         1 the log, unless there is a logger; 2 errors
 * exits       EXIT_REJECT for misuse, EXIT_RETRY when it cannot start
 *
 * What qmail-send is given: 0 the log, 1 and 2 the socket to qmail-lspawn,
 * 3 and 4 that to qmail-rspawn, 5 and 6 nothing yet, 7 a socket whose other
 * end qmail-queued has, so that each notices when the other ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/home.h"
#include "lib/ids.h"
#include "lib/lock.h"
#include "lib/packet.h"
#include "lib/spawn.h"
#include "send/syncmode.h"

#define SEND_FDS 8
#define HIGH_FD 64 /* above everything that has a meaning */

struct start {
	struct str home;
	int homefd;
	struct ids ids;
	const char *default_delivery;
	const char *const *logger; /* NULL: none */
	int log;                   /* where qmail-send's log goes */
	int errors;                /* where the children's errors go */
	int null;
	int send_fds[SEND_FDS]; /* -1: closed */
};

/*
 * Nothing is inherited. `svc -a` or `-h` may come before qmail-send listens:
 * it will find them pending.
 */
static void hold_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	sigaddset(&set, SIGHUP);
	for (int sig = 1; sig < NSIG; sig++)
		if (sig != SIGKILL && sig != SIGSTOP)
			signal(sig, SIG_DFL);
	sigprocmask(SIG_SETMASK, &set, NULL);
}

/* ---- looking ---- */

static void find_user(const struct start *s, const char *name, uid_t *uid,
		      gid_t *gid)
{
	if (ids_user(&s->ids, name, uid, gid) == -1)
		die_errno(EXIT_RETRY, "users/ids: %s", name);
}

/* A queue of somebody else's, or users/ids written for another machine. */
static void check_owner(const struct start *s, const char *path,
			const char *name)
{
	struct stat st;
	uid_t uid;
	gid_t gid;

	find_user(s, name, &uid, &gid);
	if (fstatat(s->homefd, path, &st, 0) == -1)
		die_errno(EXIT_RETRY, "cannot look at %s", path);
	if (st.st_uid != uid)
		die(EXIT_RETRY,
		    "%s belongs to uid %lu, but users/ids says that %s is %lu",
		    path, (unsigned long)st.st_uid, name, (unsigned long)uid);
}

static void check_format(const struct start *s)
{
	struct qformat format;

	switch (qformat_load(s->homefd, &format)) {
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

static void look_around(struct start *s)
{
	home_path(&s->home);
	s->homefd = home_open();
	if (s->homefd == -1 || fchdir(s->homefd) == -1)
		die_errno(EXIT_RETRY, "cannot change directory to %s",
			  str_c(&s->home));
	if (ids_load(&s->ids, s->homefd) == -1)
		die_errno(EXIT_RETRY, "cannot read users/ids");
	if (!s->ids.single && geteuid() != 0)
		die(EXIT_RETRY, "must be started by root");
	check_owner(s, "queue", "qmailq");
	check_owner(s, "users", "root");
	check_format(s);
	if (syncmode_settle(s->homefd) == -1)
		die_errno(EXIT_RETRY, "cannot write queue/format");
}

/* ---- starting ---- */

static void set_ids(const struct start *s, struct spawn *how, const char *name)
{
	how->change_ids = true;
	find_user(s, name, &how->uid, &how->gid);
}

static void start_child(const struct spawn *how)
{
	if (spawn_start(how) == -1)
		die_errno(EXIT_RETRY, "cannot start %s", how->argv[0]);
}

static void start_logger(struct start *s)
{
	struct spawn how = { .argv = s->logger, .search_path = true };
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) == -1)
		die_errno(EXIT_RETRY, "cannot make a pipe");
	set_ids(s, &how, "qmaill");
	spawn_fd(&how, fds[0], STDIN_FILENO);
	spawn_fd(&how, STDOUT_FILENO, STDOUT_FILENO);
	spawn_fd(&how, STDERR_FILENO, STDERR_FILENO);
	start_child(&how);
	close(fds[0]);
	s->log = fds[1];
	s->errors = fds[1];
}

/* A program of ours with `in` as its descriptor 0. */
static void start_program(struct start *s, const char *name, const char *user,
			  const char *arg, int in)
{
	struct str path = { 0 };
	const char *argv[] = { NULL, arg, NULL };
	struct spawn how = { .argv = argv };

	str_append(&path, str_view(&s->home));
	str_appendf(&path, "/bin/%s", name);
	argv[0] = str_c(&path);
	set_ids(s, &how, user);
	spawn_fd(&how, in, STDIN_FILENO);
	spawn_fd(&how, s->log, STDOUT_FILENO);
	spawn_fd(&how, s->errors, STDERR_FILENO);
	start_child(&how);
	str_free(&path);
}

/* The spawner's socket becomes two of qmail-send's descriptors. */
static void start_spawner(struct start *s, const char *name, const char *user,
			  const char *arg, int first)
{
	int fds[2];

	if (packet_pair(fds) == -1)
		die_errno(EXIT_RETRY, "cannot make a socket");
	start_program(s, name, user, arg, fds[1]);
	close(fds[1]);
	s->send_fds[first] = fds[0];
	s->send_fds[first + 1] = fds[0];
}

static bool queued_runs(struct start *s)
{
	int fd = openat(s->homefd, "queue/socket/lock",
			O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	bool runs;

	if (fd == -1) {
		if (errno == ENOENT)
			return false;
		die_errno(EXIT_RETRY, "cannot open queue/socket/lock");
	}
	runs = lock_try(fd) == -1;
	if (runs && errno != EWOULDBLOCK)
		die_errno(EXIT_RETRY, "cannot lock queue/socket/lock");
	close(fd);
	return runs;
}

static void start_queued(struct start *s)
{
	int fds[2];

	if (queued_runs(s))
		return;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == -1)
		die_errno(EXIT_RETRY, "cannot make a socket");
	start_program(s, "qmail-queued", "qmailq", "-e", fds[1]);
	close(fds[1]);
	s->send_fds[7] = fds[0];
}

/* ---- becoming qmail-send ---- */

static int move_high(int fd)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);

	if (high == -1)
		die_errno(EXIT_RETRY, "cannot place descriptors");
	return high;
}

/* From here on descriptor 2 is a socket: errors go to a copy of the old. */
static noreturn void fail_placed(int errors)
{
	int error = errno;

	dup2(errors, STDERR_FILENO);
	errno = error;
	die_errno(EXIT_RETRY, "cannot become qmail-send");
}

static noreturn void become_send(struct start *s)
{
	const char *argv[] = { "qmail-send", NULL };
	struct str path = { 0 };
	int errors = move_high(STDERR_FILENO);
	int high[SEND_FDS];
	uid_t uid;
	gid_t gid;

	str_append(&path, str_view(&s->home));
	str_append_c(&path, "/bin/qmail-send");
	find_user(s, "qmails", &uid, &gid);
	if (ids_become(uid, gid) == -1)
		die_errno(EXIT_RETRY, "cannot become qmails, uid %lu gid %lu",
			  (unsigned long)uid, (unsigned long)gid);
	for (int fd = 0; fd < SEND_FDS; fd++)
		high[fd] =
			s->send_fds[fd] == -1 ? -1 : move_high(s->send_fds[fd]);
	for (int fd = 0; fd < SEND_FDS; fd++)
		if (high[fd] == -1)
			close(fd);
		else if (dup2(high[fd], fd) == -1)
			fail_placed(errors);
	if (close_range(SEND_FDS, HIGH_FD - 1, 0) == -1)
		fail_placed(errors);
	execv(str_c(&path), (char *const *)(uintptr_t)argv);
	fail_placed(errors);
}

/* 0 to 2 exist, so that nothing of ours takes their place. */
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

int main(int argc, char **argv)
{
	struct start s = {
		.default_delivery = argc > 1 ? argv[1] : "./Mailbox",
		.log = STDOUT_FILENO,
		.errors = STDERR_FILENO,
	};

	die_name("qmail-start");
	if (argc == 0)
		die(EXIT_REJECT, "usage: qmail-start [defaultdelivery "
				 "[logger arg ...]]");
	hold_signals();
	fill_descriptors();
	umask(077);
	look_around(&s);
	for (int fd = 0; fd < SEND_FDS; fd++)
		s.send_fds[fd] = -1;
	if (argc > 2) {
		s.logger = (const char *const *)(argv + 2);
		start_logger(&s);
	}
	s.null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (s.null == -1)
		die_errno(EXIT_RETRY, "open /dev/null");
	start_spawner(&s, "qmail-lspawn", "root", s.default_delivery, 1);
	start_spawner(&s, "qmail-rspawn", "qmailr", NULL, 3);
	start_queued(&s);
	s.send_fds[0] = s.log;
	s.send_fds[5] = s.null;
	s.send_fds[6] = s.null;
	become_send(&s);
}
