#include "lib/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/die.h"

/* ---- capabilities ---- */

/* Of 64; the kernel knows fewer, and says EINVAL behind its last one. */
static int drop_bounding(uint64_t keep)
{
	for (unsigned cap = 0; cap < 64; cap++)
		if (!(keep >> cap & 1) &&
		    prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == -1)
			return errno == EINVAL ? 0 : -1;
	return 0;
}

/* Hold no more than `keep`, and let no exec get beyond `bounding`. */
static int give_up_capabilities(uint64_t keep, uint64_t bounding)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2] = { 0 };
	uint32_t any = 0;

	if (syscall(__NR_capget, &head, data) == -1)
		return -1;
	if (data[0].effective >> CAP_SETPCAP & 1 &&
	    drop_bounding(bounding) == -1)
		return -1;
	for (int half = 0; half < 2; half++) {
		uint32_t mask = (uint32_t)(keep >> (32 * half));

		any |= data[half].permitted | data[half].inheritable;
		data[half].permitted &= mask;
		data[half].effective &= mask;
		data[half].inheritable = 0;
	}
	/* The ambient set cannot hold what the inheritable one has not. */
	return any ? (int)syscall(__NR_capset, &head, data) : 0;
}

/*
 * What a program of the machine's own may need that became root by its setuid
 * bit, or has some by its file (ping): those that sudo and PAM need, a
 * checkpassword program that ends in a chroot. It would not run, or fail, for
 * want of one that it is used to.
 */
static const uint64_t of_users =
	UINT64_C(1) << CAP_CHOWN | UINT64_C(1) << CAP_DAC_OVERRIDE |
	UINT64_C(1) << CAP_DAC_READ_SEARCH | UINT64_C(1) << CAP_FOWNER |
	UINT64_C(1) << CAP_FSETID | UINT64_C(1) << CAP_KILL |
	UINT64_C(1) << CAP_SETGID | UINT64_C(1) << CAP_SETUID |
	UINT64_C(1) << CAP_NET_BIND_SERVICE | UINT64_C(1) << CAP_NET_RAW |
	UINT64_C(1) << CAP_SYS_CHROOT | UINT64_C(1) << CAP_SYS_NICE |
	UINT64_C(1) << CAP_SYS_RESOURCE | UINT64_C(1) << CAP_AUDIT_WRITE;

int sandbox_root(uint64_t keeps)
{
	return give_up_capabilities(keeps, keeps | of_users);
}

/* ---- limits ---- */

/* Never more than it had. */
static int limit(__rlimit_resource_t resource, rlim_t most)
{
	struct rlimit r;

	if (getrlimit(resource, &r) == -1)
		return -1;
	if (r.rlim_max > most)
		r.rlim_max = most;
	if (r.rlim_cur > r.rlim_max)
		r.rlim_cur = r.rlim_max;
	return setrlimit(resource, &r);
}

static bool is_single(const struct sandbox *sandbox)
{
#ifdef VALIJA_SAN
	/* The leak checker forks. */
	(void)sandbox;
	return false;
#else
	return !(sandbox->calls & SANDBOX_FORK);
#endif
}

static int set_limits(const struct sandbox *sandbox)
{
	if (limit(RLIMIT_CORE, 0) == -1)
		return -1;
	if (sandbox->max_fds && limit(RLIMIT_NOFILE, sandbox->max_fds) == -1)
		return -1;
	return is_single(sandbox) ? limit(RLIMIT_NPROC, 0) : 0;
}

/* ---- memory ---- */

static bool may_be_traced(void)
{
#ifdef VALIJA_TEST
	return !getenv("VALIJA_TEST_STRICT");
#else
	return false;
#endif
}

int sandbox_hide_memory(void)
{
	if (may_be_traced() || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0)
		return 0;
	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* ---- files and calls ---- */

#ifdef VALIJA_SAN

static int confine(const struct sandbox *sandbox)
{
	(void)sandbox;
	return 0;
}

#else

static enum landlock_result give_up_files(const struct sandbox *sandbox,
					  const struct landlock_path *paths,
					  size_t count)
{
	return landlock_apply(paths, count,
			      sandbox->calls & SANDBOX_INET_CLIENT);
}

#ifdef VALIJA_TEST

/*
 * Test builds look at a file whenever they tell the time. A test may replace
 * it, so its directory is allowed, too.
 */
static enum landlock_result keep_clock(const struct sandbox *sandbox,
				       const char *clock)
{
	struct landlock_path *paths =
		calloc(sandbox->path_count + 1, sizeof(*paths));
	struct str path = { 0 };
	enum landlock_result result;

	if (!paths)
		return LANDLOCK_ERROR;
	for (size_t i = 0; i < sandbox->path_count; i++)
		paths[i] = sandbox->paths[i];
	str_set_c(&path, clock);
	str_truncate(&path, view_find_last(str_view(&path), '/'));
	paths[sandbox->path_count] = (struct landlock_path){
		.dirfd = AT_FDCWD,
		.path = str_c(&path),
		.rights = LANDLOCK_READ,
	};
	result = give_up_files(sandbox, paths, sandbox->path_count + 1);
	str_free(&path);
	free(paths);
	return result;
}

static enum landlock_result give_up_others(const struct sandbox *sandbox)
{
	const char *clock = getenv("VALIJA_TEST_CLOCK");

	if (clock)
		return keep_clock(sandbox, clock);
	return give_up_files(sandbox, sandbox->paths, sandbox->path_count);
}

static enum seccomp_result give_up_calls(const struct sandbox *sandbox)
{
	unsigned calls = sandbox->calls;

	if (getenv("VALIJA_TEST_CLOCK"))
		calls |= SANDBOX_FILES_READ;
	return seccomp_apply(calls);
}

#else

static enum landlock_result give_up_others(const struct sandbox *sandbox)
{
	return give_up_files(sandbox, sandbox->paths, sandbox->path_count);
}

static enum seccomp_result give_up_calls(const struct sandbox *sandbox)
{
	return seccomp_apply(sandbox->calls);
}

#endif

/* Landlock first: the filter would forbid its calls. */
static int confine(const struct sandbox *sandbox)
{
	enum landlock_result files = give_up_others(sandbox);
	enum seccomp_result calls;

	if (files == LANDLOCK_ERROR)
		return -1;
	calls = give_up_calls(sandbox);
	if (calls == SECCOMP_ERROR)
		return -1;
	if (sandbox->quiet)
		return 0;
	if (files == LANDLOCK_MISSING)
		warn("warning: this kernel has no Landlock, or an old one: "
		     "%s may open all that its user may",
		     sandbox->name);
	if (calls == SECCOMP_MISSING)
		warn("warning: this kernel has no seccomp filters: "
		     "%s may make any system call",
		     sandbox->name);
	return 0;
}

#endif

/* ---- all of it ---- */

int sandbox_modest(const struct sandbox *sandbox)
{
	if (give_up_capabilities(sandbox->root_keeps, sandbox->root_keeps) ==
		    -1 ||
	    sandbox_hide_memory() == -1)
		return -1;
	return limit(RLIMIT_CORE, 0);
}

int sandbox_enter(const struct sandbox *sandbox)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
	    sandbox_modest(sandbox) == -1 || set_limits(sandbox) == -1 ||
	    confine(sandbox) == -1)
		return -1;
	sandbox_test_probe(sandbox);
	return 0;
}

/* ---- what a test can see ---- */

#ifdef VALIJA_TEST

#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

static int try_exec(void)
{
	char *const argv[] = { NULL };

	return execve("/bin/true", argv, argv);
}

static int try_ptrace(void)
{
	return (int)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static int try_inet(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int try_netlink(void)
{
	return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
}

static int try_open(void)
{
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC);
}

static int try_create(void)
{
	return open("/tmp/valija-forbidden",
		    O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static int try_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid == -1 ? -1 : waitpid(pid, NULL, 0);
}

static int try_map(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED
		       ? -1
		       : 0;
}

static const struct {
	const char *name;
	int (*function)(void);
} forbidden[] = {
	{ "exec", try_exec }, { "ptrace", try_ptrace },
	{ "inet", try_inet }, { "netlink", try_netlink },
	{ "open", try_open }, { "create", try_create },
	{ "fork", try_fork }, { "map", try_map },
};

void sandbox_test_probe(const struct sandbox *sandbox)
{
	struct view who = view_of(getenv("VALIJA_TEST_FORBIDDEN"));
	struct view what = view_cut(&who, ' ');

	if (who.p && !view_eq(who, view_of(sandbox->name)))
		return;
	for (size_t i = 0; i < COUNT_OF(forbidden); i++) {
		if (!view_eq(what, view_of(forbidden[i].name)))
			continue;
		if (forbidden[i].function() == -1)
			warn_errno("probe %s refused", forbidden[i].name);
		else
			warn("probe %s succeeded", forbidden[i].name);
	}
}

#endif
