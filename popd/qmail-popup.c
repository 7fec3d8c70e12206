/*
 * qmail-popup - ask a POP3 client who it is, and let a program check that.
 *
 * started by  tcpserver, once a connection
 * runs as     root, or whoever may start the checkpassword program; what
 *             reads the client's bytes is a child that has become qmaild
 * fds         0 and 1 the client, 2 the log
 * exits       EXIT_DONE when the session is over, EXIT_REJECT for misuse,
 *             EXIT_RETRY when it could not begin
 *
 * The program named on the command line gets the client on 0 and 1, and on
 * descriptor 3 user NUL password NUL timestamp NUL: checkpassword's contract.
 * It usually becomes the user and then qmail-pop3d, so its end is the end of
 * the session.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/die.h"
#include "lib/home.h"
#include "lib/ids.h"
#include "lib/inherit.h"
#include "lib/out.h"
#include "lib/packet.h"
#include "lib/ready.h"
#include "lib/sandbox.h"
#include "lib/spawn.h"
#include "popd/parser.h"

#define LOG_IN_MS (660 * 1000) /* longer than the parser's own limit */
#define PROGRAM_FD 3

struct popup {
	struct str timestamp; /* <pid.time@host> */
	int sock;             /* from the parser */
	pid_t parser;
	struct str secret; /* what the program reads */
};

static void say(struct view text)
{
	if (write_all(STDOUT_FILENO, text) == -1) {
		/* The client is gone, too. */
	}
}

static noreturn void die_temporarily(const char *what)
{
	warn_errno("%s", what);
	say(VIEW("-ERR [SYS/TEMP] unable to serve you now\r\n"));
	_exit(EXIT_RETRY);
}

/* ---- the parser's process ---- */

/* It has the client, the log, and a socket to the monitor. */
static const struct sandbox sandbox = {
	.name = "qmail-popup",
	.calls = SANDBOX_IO,
	.max_fds = 16,
	.quiet = true,
};

/* Root never reads a stranger's bytes. */
static int give_up_root(void)
{
	struct ids ids;
	uid_t uid;
	gid_t gid;
	int homefd;

	if (geteuid() != 0)
		return 0;
	homefd = home_open();
	if (homefd == -1 || ids_load(&ids, homefd) == -1 ||
	    ids_user(&ids, "qmaild", &uid, &gid) == -1)
		return -1;
	close(homefd);
	ids_free(&ids);
	if (uid == 0) {
		errno = EPERM;
		return -1;
	}
	return ids_become(uid, gid);
}

static noreturn void parse(const struct str *timestamp, int sock)
{
	struct credentials credentials = { 0 };
	struct str greeting = { 0 };

	if (give_up_root() == -1)
		die_temporarily("cannot become qmaild (users/ids)");
	if (sandbox_enter(&sandbox) == -1)
		die_temporarily("cannot enter the sandbox");
	str_append(&greeting, str_view(timestamp));
	if (parser_run(STDIN_FILENO, STDOUT_FILENO, str_c(&greeting),
		       &credentials) == PARSER_LOG_IN &&
	    packet_send(sock, str_view(&credentials.text), -1) != PACKET_OK)
		warn_errno("cannot reach the monitor");
	str_wipe(&credentials.text);
	_exit(EXIT_DONE);
}

static void start_parser(struct popup *p)
{
	int fds[2];

	if (packet_pair(fds) == -1)
		die_temporarily("cannot make a socket");
	p->parser = fork();
	if (p->parser == -1)
		die_temporarily("cannot fork");
	if (p->parser == 0) {
		close(fds[0]);
		parse(&p->timestamp, fds[1]);
	}
	close(fds[1]);
	p->sock = fds[0];
}

/* ---- the monitor ---- */

/* Exactly two strings, both there. */
static bool is_pair(struct view text)
{
	struct view rest = text;
	struct view user = view_cut(&rest, '\0');
	struct view secret = view_cut(&rest, '\0');

	return user.len && secret.len && rest.p && rest.len == 0 &&
	       text.len <= PARSER_MAX_BYTES;
}

/* Wait for the parser; true when it has sent a name and a secret. */
static bool await_credentials(struct popup *p)
{
	bool there = false;
	int fd = -1;

	if (ready_wait(p->sock, POLLIN, LOG_IN_MS, 0) == 0)
		there = packet_receive(p->sock, &p->secret, &fd) == PACKET_OK &&
			is_pair(str_view(&p->secret));
	if (fd != -1)
		close(fd);
	close(p->sock);
	return there;
}

/* It must not read on while the program talks to the client. */
static void end_parser(const struct popup *p)
{
	int status;

	kill(p->parser, SIGKILL);
	if (spawn_wait(p->parser, &status) == -1)
		die_temporarily("cannot wait for the parser");
}

/* A pipe holding the secret: it fits, so nobody waits. */
static int secret_pipe(struct popup *p)
{
	int fds[2];

	str_append(&p->secret, str_view(&p->timestamp));
	str_append_byte(&p->secret, '\0');
	if (pipe2(fds, O_CLOEXEC) == -1 ||
	    write_all(fds[1], str_view(&p->secret)) == -1)
		die_temporarily("cannot make a pipe");
	close(fds[1]);
	/* The session may last for hours: nobody needs it here any more. */
	str_wipe(&p->secret);
	return fds[0];
}

static int run_program(struct popup *p, char **argv)
{
	struct spawn s = {
		.argv = (const char *const *)(uintptr_t)argv,
		.search_path = true,
	};
	int fd = secret_pipe(p);
	int status;
	pid_t pid;

	spawn_fd(&s, STDIN_FILENO, STDIN_FILENO);
	spawn_fd(&s, STDOUT_FILENO, STDOUT_FILENO);
	spawn_fd(&s, STDERR_FILENO, STDERR_FILENO);
	spawn_fd(&s, fd, PROGRAM_FD);
	pid = spawn_start(&s);
	close(fd);
	if (pid == -1 || spawn_wait(pid, &status) == -1)
		die_temporarily("cannot run the program");
	return spawn_exit_code(status);
}

/* checkpassword: 1 is a refusal; misuse, trouble, a crash are not. */
static bool is_trouble(int code)
{
	return code == -1 || code == 2 || code == 100 || code == 111 ||
	       code == 126 || code == 127;
}

static void answer(int code, struct view user)
{
	if (code == 0)
		return;
	if (is_trouble(code)) {
		parser_log("deferred log-in: the program failed:", user);
		say(VIEW("-ERR [SYS/TEMP] unable to log you in now\r\n"));
		return;
	}
	parser_log("refused log-in:", user);
	say(VIEW("-ERR [AUTH] authorization failed\r\n"));
}

static void give_up_capabilities(uint64_t all_but)
{
	if (sandbox_root(all_but) == -1)
		die_temporarily("cannot give up capabilities");
}

static void log_in(struct popup *p, char **argv)
{
	struct str user = { 0 };
	int code;

	str_set_c(&user, str_c(&p->secret));
	code = run_program(p, argv);
	answer(code, str_view(&user));
	str_free(&user);
}

int main(int argc, char **argv)
{
	struct popup p = { 0 };

	die_name("qmail-popup");
	inherit_reset();
	if (argc < 3)
		die(EXIT_REJECT,
		    "usage: qmail-popup hostname program [ arg ... ]");
	inherit_nodelay(STDOUT_FILENO);
	str_appendf(&p.timestamp, "<%ld.%lld@%.255s>", (long)getpid(),
		    (long long)clock_wall_s(), argv[1]);
	str_reserve(&p.secret, PACKET_MAX_BYTES);
	give_up_capabilities(UINT64_C(1) << CAP_KILL |
			     UINT64_C(1) << CAP_SETGID |
			     UINT64_C(1) << CAP_SETUID);
	start_parser(&p);
	/* To end the parser; the program that comes then has what it needs. */
	give_up_capabilities(UINT64_C(1) << CAP_KILL);
	if (await_credentials(&p)) {
		end_parser(&p);
		log_in(&p, argv + 2);
	} else {
		end_parser(&p);
	}
	str_wipe(&p.secret);
	return EXIT_DONE;
}
