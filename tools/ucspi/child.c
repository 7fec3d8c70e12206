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

static void refuse(struct visitor *v, pid_t pid, struct str *why)
{
	limits_say_goodbye(v->caller->fd);
	visitor_say_deny(v, pid, str_c(why));
}

static noreturn void run_program(const struct visitor *v)
{
	const struct options *o = v->o;

	if (dup2(v->caller->fd, STDIN_FILENO) == -1 ||
	    dup2(v->caller->fd, STDOUT_FILENO) == -1)
		drop(o, "set up descriptors", "");
	close(v->caller->fd);
	execvp(o->program[0], o->program);
	drop(o, "run ", o->program[0]);
}

/* Before the rules, and once they have set the variables. */
static bool is_over_option(struct visitor *v, const struct limits_count *count)
{
	struct str why = { 0 };
	bool over = limits_options_forbid(v->o, count, &why);

	if (over)
		refuse(v, 0, &why);
	str_free(&why);
	return over;
}

static bool is_over_variable(struct visitor *v, pid_t pid,
			     const struct limits_count *count)
{
	struct str why = { 0 };
	bool over = limits_variables_forbid(v->o, count, &why);

	if (over)
		refuse(v, pid, &why);
	str_free(&why);
	return over;
}

noreturn void child_run(const struct options *o, const struct caller *caller,
			const struct limits_count *count)
{
	struct visitor v;
	enum visitor_verdict verdict;

	sig_reset_all();
	if (visitor_open(&v, o, caller) == -1)
		drop(o, "get the addresses", "");
	visitor_say_came(&v, getpid());
	if (o->banner.len && write_all(caller->fd, o->banner) == -1)
		drop(o, "print banner", "");
	visitor_ask(&v);
	verdict = visitor_judge(&v);
	if (verdict == VISITOR_UNDECIDED)
		drop(o, "read ", o->rules);
	if (verdict == VISITOR_DENIED)
		visitor_say_deny(&v, getpid(), "");
	if (verdict == VISITOR_DENIED || is_over_variable(&v, getpid(), count))
		_exit(EXIT_REJECT);
	visitor_say_ok(&v, getpid());
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

	spawn_fd(&s, v->caller->fd, STDIN_FILENO);
	spawn_fd(&s, v->caller->fd, STDOUT_FILENO);
	return spawn_start(&s);
}

/* Whatever does not end well here, child_run() does again, and says why. */
static enum child_result
try_at_once(struct visitor *v, const struct limits_count *count, pid_t *pid)
{
	bool at_once = !may_wait(v->o);

	if (at_once)
		visitor_ask(v);
	if (is_over_option(v, count))
		return CHILD_REFUSED;
	if (!at_once)
		return CHILD_IS_NEEDED;
	if (visitor_judge(v) != VISITOR_ALLOWED)
		return CHILD_IS_NEEDED;
	if (is_over_variable(v, 0, count))
		return CHILD_REFUSED;
	*pid = start_program(v);
	if (*pid == -1)
		return CHILD_IS_NEEDED;
	visitor_say_came(v, *pid);
	visitor_say_ok(v, *pid);
	return CHILD_STARTED;
}

enum child_result child_spawn(const struct options *o,
			      const struct caller *caller,
			      const struct limits_count *count, pid_t *pid)
{
	struct visitor v;
	enum child_result result = CHILD_IS_NEEDED;

	if (may_wait(o) && !o->per_address && !o->per_network)
		return CHILD_IS_NEEDED;
	if (visitor_open(&v, o, caller) == 0)
		result = try_at_once(&v, count, pid);
	visitor_free(&v);
	return result;
}
