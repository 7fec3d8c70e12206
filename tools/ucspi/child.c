#include "tools/ucspi/child.h"

#include <errno.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/out.h"
#include "lib/sig.h"
#include "lib/spawn.h"
#include "tools/ucspi/visitor.h"

/* Every way a connection ends here, but for the rule that denies it. */
static noreturn void drop(const struct options *o, const char *what,
			  const char *object)
{
	if (o->common.verbosity >= ERRORS)
		warn_errno("warning: dropping connection, unable to %s%s", what,
			   object);
	_exit(EXIT_RETRY);
}

static noreturn void run_program(const struct visitor *v)
{
	const struct options *o = v->o;

	if (dup2(v->fd, STDIN_FILENO) == -1 || dup2(v->fd, STDOUT_FILENO) == -1)
		drop(o, "set up descriptors", "");
	close(v->fd);
	execvp(o->program[0], o->program);
	drop(o, "run ", o->program[0]);
}

noreturn void child_run(const struct options *o, int fd,
			const struct sockaddr *remote)
{
	struct visitor v;
	enum visitor_verdict verdict;

	sig_reset_all();
	if (visitor_open(&v, o, fd, remote) == -1)
		drop(o, "get the addresses", "");
	visitor_say_came(&v, getpid());
	if (o->banner.len && write_all(fd, o->banner) == -1)
		drop(o, "print banner", "");
	visitor_ask(&v);
	verdict = visitor_judge(&v);
	if (verdict == VISITOR_UNDECIDED)
		drop(o, "read ", o->rules);
	visitor_say(&v, getpid(), verdict == VISITOR_ALLOWED);
	if (verdict == VISITOR_DENIED)
		_exit(EXIT_REJECT);
	run_program(&v);
}

/* ---- without a process of our own between ---- */

/* Anything that takes time, or is written to the client. */
static bool may_wait(const struct options *o)
{
	return !o->common.local_host || o->common.remote_host ||
	       o->common.remote_info || o->banner.len;
}

static pid_t start_program(const struct visitor *v)
{
	struct spawn s = {
		.argv = (const char *const *)v->o->program,
		.search_path = true,
		.asks = true,
	};

	spawn_fd(&s, v->fd, STDIN_FILENO);
	spawn_fd(&s, v->fd, STDOUT_FILENO);
	return spawn_start(&s);
}

pid_t child_spawn(const struct options *o, int fd,
		  const struct sockaddr *remote)
{
	struct visitor v;
	pid_t pid = 0;

	if (may_wait(o))
		return 0;
	if (visitor_open(&v, o, fd, remote) == 0) {
		visitor_ask(&v);
		if (visitor_judge(&v) == VISITOR_ALLOWED)
			pid = start_program(&v);
		if (pid == -1)
			pid = 0; /* who tries again there says why */
	}
	if (pid) {
		visitor_say_came(&v, pid);
		visitor_say(&v, pid, true);
	}
	visitor_free(&v);
	return pid;
}
