#include "tools/ucspi/lookup.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/die.h"
#include "lib/home.h"
#include "lib/in.h"
#include "lib/spawn.h"
#include "tools/ucspi/nobody.h"

#define ARGS_MAX 16
#define ANSWER_MAX_BYTES 512
#define NAME_TIMEOUT_MS 60000 /* service and host, at start */
#define ROOM_BYTES (64 << 20) /* for the system's libraries */

/* A running tcplookup. */
struct asking {
	pid_t pid;
	int fd; /* its answers */
	char space[1024];
	struct in in;
};

static bool start(struct asking *a, const char **argv, int timeout_ms)
{
	struct str path = { 0 };
	struct spawn s = { .argv = argv, .room_bytes = ROOM_BYTES };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int ends[2];

	if (null == -1 || pipe2(ends, O_CLOEXEC) == -1) {
		warn_errno("warning: unable to look up names");
		if (null != -1)
			close(null);
		return false;
	}
	home_program(&path, "tcplookup");
	argv[0] = str_c(&path);
	spawn_fd(&s, null, STDIN_FILENO);
	spawn_fd(&s, ends[1], STDOUT_FILENO);
	spawn_fd(&s, STDERR_FILENO, STDERR_FILENO);
	s.change_ids = geteuid() == 0;
	if (s.change_ids)
		nobody_find(&s.uid, &s.gid);
	a->pid = spawn_start(&s);
	if (a->pid == -1)
		warn_errno("warning: unable to fork for %s", argv[0]);
	close(null);
	close(ends[1]);
	str_free(&path);
	a->fd = ends[0];
	if (a->pid == -1) {
		close(a->fd);
		return false;
	}
	in_init(&a->in, a->fd, a->space, sizeof(a->space), -1);
	a->in.deadline_ms = clock_mono_ms() + timeout_ms;
	return true;
}

static void finish(struct asking *a)
{
	int status;

	close(a->fd);
	kill(a->pid, SIGKILL);
	if (spawn_wait(a->pid, &status) == -1)
		warn_errno("warning: lost tcplookup");
}

bool lookup_port(const char *text, unsigned *port)
{
	const char *argv[] = { NULL, "service", text, NULL };
	struct str answer = { 0 };
	struct asking a;
	uint64_t number;
	bool known = view_u64(view_of(text), &number);

	if (!known && start(&a, argv, NAME_TIMEOUT_MS)) {
		known = in_line(&a.in, &answer, ANSWER_MAX_BYTES) == IN_OK &&
			view_u64(str_view(&answer), &number);
		finish(&a);
	}
	str_free(&answer);
	if (!known || number > 65535)
		return false;
	*port = (unsigned)number;
	return true;
}

size_t lookup_host(const char *name, struct ipaddr *list, size_t room)
{
	const char *argv[] = { NULL, "host", name, NULL };
	struct str answer = { 0 };
	struct asking a;
	size_t count = 0;

	if (!start(&a, argv, NAME_TIMEOUT_MS))
		return 0;
	while (count < room &&
	       in_line(&a.in, &answer, ANSWER_MAX_BYTES) == IN_OK)
		if (ipaddr_parse(str_view(&answer), &list[count]))
			count++;
	finish(&a);
	str_free(&answer);
	return count;
}

/* Strangers chose these bytes: what is not printable is not taken. */
static bool is_plain(struct view v)
{
	for (size_t i = 0; i < v.len; i++)
		if (v.p[i] <= ' ' || v.p[i] > '~')
			return false;
	return v.len > 0;
}

/* `l name`, `h name` or `i info`. */
static void take_answer(struct lookup *lookup, struct view line)
{
	struct view value = view_from(line, 2);

	if (line.len < 3 || line.p[1] != ' ')
		return;
	if (line.p[0] == 'i') {
		str_set(&lookup->info, value);
	} else if (is_plain(value) && line.p[0] == 'h') {
		str_set(&lookup->remote_host, value);
		str_lower(&lookup->remote_host);
	} else if (is_plain(value) && line.p[0] == 'l') {
		str_set(&lookup->local_host, value);
		str_lower(&lookup->local_host);
	}
}

/* tcplookup [-lhpr] [-t seconds] peer localip localport remoteip remoteport */
static void run(struct lookup *lookup, const char **argv, int timeout_ms)
{
	struct str line = { 0 };
	struct asking a;

	if (!start(&a, argv, timeout_ms))
		return;
	while (in_line(&a.in, &line, ANSWER_MAX_BYTES) == IN_OK)
		take_answer(lookup, str_view(&line));
	finish(&a);
	str_free(&line);
}

void lookup_peer(struct lookup *lookup)
{
	const char *argv[ARGS_MAX];
	struct str local_ip = { 0 };
	struct str remote_ip = { 0 };
	char seconds[12];
	char local_port[12];
	char remote_port[12];
	bool names = lookup->want_local_host || lookup->want_remote_host;
	unsigned phases = (names ? 1 : 0) + (lookup->want_info ? 1 : 0);
	size_t n = 1; /* start() sets the first */

	if (phases == 0)
		return;
	str_set(&local_ip, lookup->local_ip);
	str_set(&remote_ip, lookup->remote_ip);
	snprintf(seconds, sizeof(seconds), "%u", lookup->timeout_s);
	snprintf(local_port, sizeof(local_port), "%u", lookup->local_port);
	snprintf(remote_port, sizeof(remote_port), "%u", lookup->remote_port);
	if (lookup->want_local_host)
		argv[n++] = "-l";
	if (lookup->want_remote_host)
		argv[n++] = "-h";
	if (lookup->paranoid)
		argv[n++] = "-p";
	if (lookup->want_info)
		argv[n++] = "-r";
	argv[n++] = "-t";
	argv[n++] = seconds;
	argv[n++] = "peer";
	argv[n++] = str_c(&local_ip);
	argv[n++] = local_port;
	argv[n++] = str_c(&remote_ip);
	argv[n++] = remote_port;
	argv[n] = NULL;
	run(lookup, argv, (int)(phases * lookup->timeout_s * 1000));
	str_free(&local_ip);
	str_free(&remote_ip);
}
