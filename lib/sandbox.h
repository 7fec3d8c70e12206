#ifndef LIB_SANDBOX_H
#define LIB_SANDBOX_H

/*
 * What a program may still do once it has opened what it needs.
 *
 *	static const struct sandbox sandbox = {
 *		.name = "qmail-smtpd",
 *		.calls = SANDBOX_IO | SANDBOX_UNIX_CLIENT,
 *		.max_fds = 64,
 *		.quiet = true,
 *	};
 *
 *	if (sandbox_enter(&sandbox) == -1)
 *		die_errno(EXIT_RETRY, "cannot enter the sandbox");
 *
 * From then on, for good, and for every child:
 *
 * - no new privileges, and no capabilities (none that root could get back
 *   by exec either) but those in `root_keeps`;
 * - no core files; at most max_fds descriptors; no forks, unless there is
 *   SANDBOX_FORK among the calls. File sizes are nobody's business here;
 * - not dumpable: no process of the same uid reads its memory. A test build
 *   leaves that out, since a tracer that is not root could not do its work,
 *   unless VALIJA_TEST_STRICT is set;
 * - Landlock: of the file system, what `paths` names, and nothing else;
 *   no TCP without SANDBOX_INET_CLIENT; no signals to others;
 * - seccomp: the calls of the groups. execve, execveat, ptrace and sockets
 *   other than these groups' kill the process; whatever else is not in a
 *   group fails with ENOSYS, and opening for writing without
 *   SANDBOX_FILES_WRITE with EACCES.
 *
 * A kernel without Landlock or seccomp still does the rest; unless `quiet`,
 * one line on descriptor 2 says what is missing. Processes of one session
 * are quiet: residents have said it.
 *
 * Outside programs would inherit all this. Who runs some forks a launcher
 * first (lib/launcher.h), or does no more than sandbox_modest().
 *
 * Sanitizers need calls and files of their own: in their builds there is
 * neither filter nor Landlock nor a limit on forks.
 */

#include <sys/resource.h>

#include "lib/landlock.h"
#include "lib/seccomp.h"

struct sandbox {
	const char *name; /* for messages */
	unsigned calls;   /* enum sandbox_calls (lib/seccomp.h) */
	const struct landlock_path *paths; /* lib/landlock.h */
	size_t path_count;
	uint64_t root_keeps; /* capabilities, a bit each, if it has them */
	rlim_t max_fds;      /* 0: as it is */
	bool quiet;
};

/*
 * 0, or -1 with errno: then it may be half inside, and should end. To enter
 * once more, for less, needs SANDBOX_TIGHTEN.
 */
int sandbox_enter(const struct sandbox *sandbox) MUST_USE;

/*
 * What is left for a program that runs outside programs: no capabilities
 * but those in root_keeps, no core files, not dumpable. 0, or -1 with errno.
 */
int sandbox_modest(const struct sandbox *sandbox) MUST_USE;

/*
 * For root that starts other people's programs: it keeps these capabilities,
 * and what it executes gets at most those that programs which are setuid are
 * used to, of files, users, ports and limits; nobody's loads modules, traces
 * others, mounts or sets up networks. 0, or -1 with errno.
 */
int sandbox_root(uint64_t keeps) MUST_USE;

/* Only that other processes of our uid read no memory of ours. */
int sandbox_hide_memory(void) MUST_USE;

/*
 * Test builds: try what VALIJA_TEST_FORBIDDEN names, and say on descriptor 2
 * how it failed, if it did not kill. `exec`, `ptrace`, `inet`, `netlink`,
 * `open`, `create`, `fork`, `map`; with ` NAME` behind it, only the sandbox
 * of that name does. sandbox_enter() calls it at its end.
 */
#ifdef VALIJA_TEST
void sandbox_test_probe(const struct sandbox *sandbox);
#else
static inline void sandbox_test_probe(const struct sandbox *sandbox)
{
	(void)sandbox;
}
#endif

#endif
