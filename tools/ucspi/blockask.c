#include "tools/ucspi/blockask.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/die.h"
#include "lib/dns.h"
#include "lib/in.h"
#include "lib/out.h"
#include "lib/sandbox.h"
#include "lib/spawn.h"

/* What the child may take longer than it was told: a busy machine. */
#define GRACE_MS 2000

struct asking {
	struct blocklists *lists;
	const struct ipaddr *ip;
	struct view ip_text;
	int64_t deadline_ms;
	pid_t pid; /* of the session */
};

/* ---- the child ---- */

static const struct sandbox sandbox = {
	.name = "rblsmtpd (asking)",
	.calls = SANDBOX_IO | SANDBOX_INET_CLIENT,
	.quiet = true,
};

/* 0 is nothing, 1 the pipe, 2 the log. */
static int keep_only(int to)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null == -1 || dup2(to, STDOUT_FILENO) == -1 ||
	    dup2(null, STDIN_FILENO) == -1)
		return -1;
	return close_range(3, ~0U, 0);
}

static void ask_all(const struct asking *a, struct dns *dns)
{
	struct str name = { 0 };

	for (size_t i = 0; i < a->lists->count; i++) {
		enum dns_type type;

		str_reset(&name);
		type = blocklists_query(&a->lists->list[i], a->ip, &name);
		/* Questions get the numbers 0, 1, ... as lists have them. */
		dns_ask(dns, str_view(&name), type);
	}
	str_free(&name);
}

static void note_all(const struct asking *a, const struct dns *dns)
{
	for (size_t i = 0; i < a->lists->count; i++)
		blocklists_note(&a->lists->list[i], dns_answer(dns, i),
				a->ip_text);
}

/* Until nothing that is still to come can change it. */
static enum verdict decide(const struct asking *a,
			   const struct dns_servers *servers, struct str *text)
{
	struct polls polls = { 0 };
	enum verdict verdict;
	struct dns dns;

	dns_init(&dns, servers, a->deadline_ms);
	ask_all(a, &dns);
	for (;;) {
		note_all(a, &dns);
		verdict = blocklists_judge(a->lists, text);
		if (verdict != VERDICT_PENDING)
			break;
		if (dns_wait(&dns, &polls) == -1)
			die_errno(EXIT_RETRY, "poll");
	}
	polls_free(&polls);
	dns_free(&dns);
	return verdict;
}

static void name_the_silent(const struct asking *a)
{
	struct str line = { 0 };

	for (size_t i = 0; i < a->lists->count; i++)
		if (a->lists->list[i].result == DNS_TROUBLE) {
			str_append_byte(&line, ' ');
			str_append(&line, a->lists->list[i].base);
		}
	if (line.len)
		warn("%.*s pid %d: no answer from%s", (int)a->ip_text.len,
		     a->ip_text.p, (int)a->pid, str_c(&line));
	str_free(&line);
}

/* A byte for the verdict, then the text. */
static noreturn void ask_and_tell(const struct asking *a, int to)
{
	struct dns_servers servers;
	struct str text = { 0 };
	struct str said = { 0 };
	enum verdict verdict;

	signal(SIGPIPE, SIG_IGN);
	if (keep_only(to) == -1)
		die_errno(EXIT_RETRY, "set up descriptors");
	if (dns_servers_load(&servers) == -1)
		die_errno(EXIT_RETRY, "read /etc/resolv.conf");
	if (sandbox_enter(&sandbox) == -1)
		die_errno(EXIT_RETRY, "cannot enter the sandbox");
	verdict = decide(a, &servers, &text);
	name_the_silent(a);
	str_append_byte(&said, (char)verdict);
	str_append(&said, view_first(str_view(&text), REFUSAL_TEXT_MAX));
	_exit(write_all(STDOUT_FILENO, str_view(&said)) == -1 ? EXIT_RETRY
							      : EXIT_DONE);
}

/* ---- the session ---- */

/* What it said up to its end; false when that is no verdict. */
static bool hear(int from, int64_t deadline_ms, enum verdict *verdict,
		 struct str *text)
{
	enum in_result result;
	struct view chunk;
	char space[256];
	struct in in;

	in_init(&in, from, space, sizeof(space), -1);
	in.deadline_ms = deadline_ms;
	str_reset(text);
	while ((result = in_chunk(&in, &chunk)) == IN_OK &&
	       text->len <= 1 + REFUSAL_TEXT_MAX) {
		str_append(text, chunk);
		in_consume(&in, chunk.len);
	}
	if (result != IN_EOF || text->len == 0 ||
	    text->len > 1 + REFUSAL_TEXT_MAX)
		return false;
	*verdict = (enum verdict)(unsigned char)text->p[0];
	str_remove(text, 0, 1);
	return *verdict > VERDICT_PENDING && *verdict <= VERDICT_REFUSE;
}

/* -1 with errno. The child's end of the pipe is its alone. */
static pid_t start(const struct asking *a, int *from)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) == -1)
		return -1;
	pid = fork();
	if (pid == 0)
		ask_and_tell(a, fds[1]);
	close(fds[1]);
	*from = fds[0];
	if (pid == -1)
		close(fds[0]);
	return pid;
}

static bool ask_child(const struct asking *a, enum verdict *verdict,
		      struct str *text)
{
	bool is_heard;
	int status;
	pid_t pid;
	int from;

	pid = start(a, &from);
	if (pid == -1) {
		warn_errno("cannot ask");
		return false;
	}
	is_heard = hear(from, a->deadline_ms + GRACE_MS, verdict, text);
	close(from);
	/* It has said what it had to say. */
	kill(pid, SIGKILL);
	if (spawn_wait(pid, &status) == -1) {
		/* Where SIGCHLD is ignored there is nothing to wait for. */
	}
	return is_heard;
}

enum verdict blockask(struct blocklists *lists, const struct ipaddr *ip,
		      struct view ip_text, unsigned timeout_s, struct str *text)
{
	const struct asking asking = {
		.lists = lists,
		.ip = ip,
		.ip_text = ip_text,
		.deadline_ms = clock_mono_ms() + (int64_t)timeout_s * 1000,
		.pid = getpid(),
	};
	enum verdict verdict;

	if (lists->count == 0) {
		str_reset(text);
		return VERDICT_PASS;
	}
	if (ask_child(&asking, &verdict, text))
		return verdict;
	blocklists_fail(lists);
	return blocklists_judge(lists, text);
}
