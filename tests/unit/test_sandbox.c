#include "lib/sandbox.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#include "lib/die.h"
#include "tests/unit/unit.h"

#ifdef VALIJA_SAN
#define CONFINED false
#else
#define CONFINED true
#endif

/* What happened to a call in a sandbox. */
#define DONE 0
#define KILLED (-1)
/* else: errno */

struct attempt {
	const struct sandbox *sandbox;
	long (*call)(void);
};

static void enter(const struct sandbox *sandbox)
{
	if (sandbox_enter(sandbox) == -1)
		die_errno(255, "sandbox_enter");
}

static void attempt(void *arg)
{
	const struct attempt *a = arg;

	enter(a->sandbox);
	_exit(a->call() == -1 ? errno : DONE);
}

static int in_sandbox(const struct sandbox *sandbox, long (*call)(void))
{
	struct attempt a = { .sandbox = sandbox, .call = call };
	struct str said = { 0 };
	int result = in_child(attempt, &a, &said);

	assert_str(&said, "");
	str_free(&said);
	return result;
}

static int with_calls(unsigned calls, long (*call)(void))
{
	struct sandbox sandbox = { .name = "test", .calls = calls };

	return in_sandbox(&sandbox, call);
}

/* ---- calls ---- */

static long call_execve(void)
{
	char *const argv[] = { NULL };

	return execve("/bin/true", argv, argv);
}

static long call_execveat(void)
{
	char *const argv[] = { NULL };

	return syscall(__NR_execveat, AT_FDCWD, "/bin/true", argv, argv, 0);
}

static long call_ptrace(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static long call_peek(void)
{
	return syscall(__NR_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0);
}

static long socket_of(int domain, int type)
{
	return socket(domain, type | SOCK_CLOEXEC, 0);
}

static long call_unix(void)
{
	return socket_of(AF_UNIX, SOCK_STREAM);
}

static long call_inet(void)
{
	return socket_of(AF_INET, SOCK_STREAM);
}

static long call_inet6(void)
{
	return socket_of(AF_INET6, SOCK_DGRAM);
}

static long call_netlink(void)
{
	return socket_of(AF_NETLINK, SOCK_RAW);
}

static long call_socketpair(void)
{
	int fds[2];

	return socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds);
}

static long call_listen(void)
{
	return listen(0, 1) == -1 && errno == ENOSYS ? -1 : 0;
}

static long call_open(void)
{
	return open("/etc/passwd", O_RDONLY);
}

static long call_open_to_write(void)
{
	return open("/dev/null", O_WRONLY);
}

static long call_rename(void)
{
	return rename("/nonexistent/a", "/nonexistent/b") == -1 &&
			       errno == ENOENT
		       ? 0
		       : -1;
}

static long call_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid == -1 ? -1 : waitpid(pid, NULL, 0);
}

static long call_namespace(void)
{
	return syscall(__NR_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
}

static long call_clone3(void)
{
	return syscall(435, NULL, 0);
}

static long call_unshare(void)
{
	return unshare(CLONE_NEWUSER);
}

static long call_keyctl(void)
{
	return syscall(__NR_keyctl, 0, 0, 0, 0, 0);
}

static long call_map_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? -1 : 0;
}

static long call_protect_code(void)
{
	void *p =
		mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? -1 : mprotect(p, 4096, PROT_EXEC);
}

static long call_prctl(void)
{
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

/* As a tracer cancels a call. */
static long call_minus_one(void)
{
	return syscall(-1);
}

#ifdef __x86_64__
static long call_x32(void)
{
	return syscall(0x40000000 + __NR_getpid);
}

/*
 * getpid by the gate of 32-bit programs: another architecture. A kernel that
 * has shut the gate answers with SIGSEGV, filter or none.
 */
static long call_i386(void)
{
	long result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(20)
			 : "memory", "cc", "r8", "r9", "r10", "r11");
	return result;
}
#endif

static const struct {
	const char *label;
	long (*call)(void);
	unsigned calls; /* that allow it; 0: none does */
	int otherwise;  /* what happens to it elsewhere */
} attempts[] = {
	{ "execve", call_execve, 0, KILLED },
	{ "execveat", call_execveat, 0, KILLED },
	{ "ptrace", call_ptrace, 0, KILLED },
	{ "process_vm_readv", call_peek, 0, KILLED },
	{ "netlink", call_netlink, 0, KILLED },
#ifdef __x86_64__
	{ "x32", call_x32, 0, KILLED },
	{ "i386", call_i386, 0, KILLED },
#endif
	{ "unix", call_unix, SANDBOX_UNIX_CLIENT | SANDBOX_UNIX_SERVER,
	  KILLED },
	{ "inet", call_inet, SANDBOX_INET_CLIENT, KILLED },
	{ "inet6", call_inet6, SANDBOX_INET_CLIENT, KILLED },
	{ "socketpair", call_socketpair, SANDBOX_PACKET, KILLED },
	{ "listen", call_listen, SANDBOX_UNIX_SERVER, ENOSYS },
	{ "rename", call_rename, SANDBOX_FILES_WRITE, ENOSYS },
	{ "fork", call_fork, SANDBOX_FORK, ENOSYS },
	{ "clone with a namespace", call_namespace, 0, ENOSYS },
	{ "clone3", call_clone3, 0, ENOSYS },
	{ "unshare", call_unshare, 0, ENOSYS },
	{ "keyctl", call_keyctl, 0, ENOSYS },
	{ "mmap of code", call_map_code, 0, ENOSYS },
	{ "mprotect of code", call_protect_code, 0, ENOSYS },
	{ "prctl", call_prctl, 0, ENOSYS },
	{ "-1", call_minus_one, 0, ENOSYS },
};

static const unsigned groups[] = {
	SANDBOX_IO,          SANDBOX_FILES_READ,  SANDBOX_FILES_WRITE,
	SANDBOX_UNIX_CLIENT, SANDBOX_UNIX_SERVER, SANDBOX_INET_CLIENT,
	SANDBOX_FORK,        SANDBOX_PACKET,
};

static void test_each_call_is_allowed_for_its_groups_and_no_other(void **state)
{
	(void)state;
	if (!CONFINED)
		skip();
	for (size_t i = 0; i < COUNT_OF(attempts); i++)
		for (size_t g = 0; g < COUNT_OF(groups); g++) {
			int want = attempts[i].calls & groups[g]
					   ? DONE
					   : attempts[i].otherwise;
			int got = with_calls(groups[g], attempts[i].call);

			if (got != want)
				print_error("%s with group %zu\n",
					    attempts[i].label, g);
			assert_int_equal(got, want);
		}
}

/* What glibc does by itself must not surprise it. */
static long ordinary_life(void)
{
	char *big = malloc(1 << 24);
	char *more;
	struct timespec now;
	struct stat st;
	struct pollfd none = { .fd = -1 };

	if (!big)
		return -1;
	big[0] = 1;
	more = realloc(big, 1 << 26);
	if (!more || clock_gettime(CLOCK_REALTIME, &now) == -1 ||
	    fstat(2, &st) == -1 || poll(&none, 1, 1) == -1 ||
	    fcntl(2, F_GETFD) == -1 || write(2, "", 0) == -1)
		return -1;
	free(more);
	return 0;
}

static void test_memory_time_and_descriptors_go_on(void **state)
{
	(void)state;
	assert_int_equal(with_calls(SANDBOX_IO, ordinary_life), DONE);
}

/* ---- files ---- */

static struct scratch scratch;

static long read_in(void)
{
	return openat(scratch.fd, "in/file", O_RDONLY);
}

static long list_in(void)
{
	return openat(scratch.fd, "in", O_RDONLY | O_DIRECTORY);
}

static long read_out(void)
{
	return openat(scratch.fd, "out/file", O_RDONLY);
}

static long climb_out(void)
{
	return openat(scratch.fd, "in/../out/file", O_RDONLY);
}

static long write_in(void)
{
	return openat(scratch.fd, "in/file", O_WRONLY | O_TRUNC);
}

static long create_in(void)
{
	long fd = openat(scratch.fd, "in/new", O_WRONLY | O_CREAT, 0600);

	return fd == -1 ? -1 : unlinkat(scratch.fd, "in/new", 0);
}

static long create_out(void)
{
	return openat(scratch.fd, "out/new", O_WRONLY | O_CREAT, 0600);
}

static long move_in(void)
{
	if (renameat(scratch.fd, "in/a/file", scratch.fd, "in/b/file") == -1)
		return -1;
	return renameat(scratch.fd, "in/b/file", scratch.fd, "in/a/file");
}

static long move_out(void)
{
	return renameat(scratch.fd, "in/file", scratch.fd, "out/taken");
}

static void open_scratch(void)
{
	const char *const folders[] = { "in", "out", "in/a", "in/b" };

	scratch_open(&scratch);
	for (size_t i = 0; i < COUNT_OF(folders); i++)
		assert_int_equal(mkdirat(scratch.fd, folders[i], 0700), 0);
	scratch_write(&scratch, "in/file", VIEW("x"));
	scratch_write(&scratch, "in/a/file", VIEW("x"));
	scratch_write(&scratch, "out/file", VIEW("x"));
}

/* Files that a sandbox with these rights below in/ may have. */
static int with_rights(unsigned rights, long (*call)(void))
{
	struct landlock_path path = { scratch.fd, "in", rights };
	struct sandbox sandbox = {
		.name = "test",
		.calls = SANDBOX_IO | SANDBOX_FILES_WRITE,
		.paths = &path,
		.path_count = rights ? 1 : 0,
	};

	return in_sandbox(&sandbox, call);
}

static void test_only_listed_files_can_be_opened(void **state)
{
	const unsigned write = LANDLOCK_READ | LANDLOCK_WRITE;

	(void)state;
	if (!CONFINED || landlock_version() < 2)
		skip();
	open_scratch();
	assert_int_equal(with_rights(0, read_in), EACCES);
	assert_int_equal(with_rights(0, list_in), EACCES);

	assert_int_equal(with_rights(LANDLOCK_READ, read_in), DONE);
	assert_int_equal(with_rights(LANDLOCK_READ, list_in), DONE);
	assert_int_equal(with_rights(LANDLOCK_READ, read_out), EACCES);
	assert_int_equal(with_rights(LANDLOCK_READ, climb_out), EACCES);
	assert_int_equal(with_rights(LANDLOCK_READ, write_in), EACCES);
	assert_int_equal(with_rights(LANDLOCK_READ, create_in), EACCES);

	assert_int_equal(with_rights(write, write_in), DONE);
	assert_int_equal(with_rights(write, create_in), DONE);
	assert_int_equal(with_rights(write, create_out), EACCES);
	assert_int_equal(with_rights(write, move_in), EXDEV);
	assert_int_equal(with_rights(write | LANDLOCK_MOVE, move_in), DONE);
	assert_int_not_equal(with_rights(write | LANDLOCK_MOVE, move_out),
			     DONE);
	scratch_close(&scratch);
}

static void test_a_single_file_can_be_listed(void **state)
{
	struct landlock_path path;
	struct sandbox sandbox = {
		.name = "test",
		.calls = SANDBOX_IO | SANDBOX_FILES_WRITE,
		.paths = &path,
		.path_count = 1,
	};

	(void)state;
	if (!CONFINED || landlock_version() < 2)
		skip();
	open_scratch();
	path = (struct landlock_path){ scratch.fd, "in/file",
				       LANDLOCK_READ | LANDLOCK_WRITE };
	assert_int_equal(in_sandbox(&sandbox, read_in), DONE);
	assert_int_equal(in_sandbox(&sandbox, write_in), DONE);
	assert_int_equal(in_sandbox(&sandbox, list_in), EACCES);
	/* One that is not there is no error. */
	path.path = "in/absent";
	assert_int_equal(in_sandbox(&sandbox, read_in), EACCES);
	scratch_close(&scratch);
}

/* Where the kernel has no Landlock, the filter still refuses to write. */
static void test_reading_programs_cannot_open_to_write(void **state)
{
	struct landlock_path all = { AT_FDCWD, "/",
				     LANDLOCK_READ | LANDLOCK_WRITE };
	struct sandbox sandbox = {
		.name = "test",
		.calls = SANDBOX_FILES_READ,
		.paths = &all,
		.path_count = 1,
	};

	(void)state;
	if (!CONFINED)
		skip();
	assert_int_equal(in_sandbox(&sandbox, call_open), DONE);
	assert_int_equal(in_sandbox(&sandbox, call_open_to_write), EACCES);
	sandbox.calls = SANDBOX_FILES_WRITE;
	assert_int_equal(in_sandbox(&sandbox, call_open_to_write), DONE);
	sandbox.calls = SANDBOX_IO;
	assert_int_equal(in_sandbox(&sandbox, call_open), ENOSYS);
}

/* ---- privileges and limits ---- */

static void read_status(void *arg)
{
	int fd = open("/proc/self/status", O_RDONLY);
	char text[4096];
	ssize_t got;

	enter(arg);
	got = pread(fd, text, sizeof(text), 0);
	if (got == -1 || write(2, text, (size_t)got) == -1)
		_exit(1);
}

static bool has(const struct str *text, const char *line)
{
	return strstr(text->p, line) != NULL;
}

static void test_privileges_are_gone(void **state)
{
	struct sandbox sandbox = { .name = "test", .calls = SANDBOX_IO };
	struct str said = { 0 };

	(void)state;
	assert_int_equal(in_child(read_status, &sandbox, &said), 0);
	assert_true(has(&said, "NoNewPrivs:\t1\n"));
	assert_true(has(&said, "CapInh:\t0000000000000000\n"));
	assert_true(has(&said, "CapPrm:\t0000000000000000\n"));
	assert_true(has(&said, "CapEff:\t0000000000000000\n"));
	assert_true(has(&said, "CapAmb:\t0000000000000000\n"));
	if (geteuid() == 0)
		assert_true(has(&said, "CapBnd:\t0000000000000000\n"));
	if (CONFINED)
		assert_true(has(&said, "Seccomp:\t2\n"));
	str_free(&said);
}

static void test_root_keeps_what_is_listed(void **state)
{
	struct sandbox sandbox = {
		.name = "test",
		.calls = SANDBOX_IO,
		.root_keeps = 1 << CAP_DAC_OVERRIDE,
	};
	struct str said = { 0 };

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(in_child(read_status, &sandbox, &said), 0);
	assert_true(has(&said, "CapEff:\t0000000000000002\n"));
	assert_true(has(&said, "CapBnd:\t0000000000000002\n"));
	str_free(&said);
}

/*
 * chown to setuid, net_bind_service, net_raw, sys_chroot, sys_nice,
 * sys_resource, audit_write
 */
#define USERS UINT64_C(0x218424ff)

/* The set of that name in a /proc/PID/status. */
static uint64_t set_of(const struct str *status, const char *name)
{
	const char *at = strstr(status->p, name);

	assert_non_null(at);
	return strtoull(at + strlen(name), NULL, 16);
}

/* Of these; a container may have fewer. */
static void assert_users(uint64_t set)
{
	assert_true(set && !(set & ~USERS));
}

static void say_status(void)
{
	char text[4096];
	int fd = open("/proc/self/status", O_RDONLY);
	ssize_t got = pread(fd, text, sizeof(text), 0);

	if (got == -1 || write(2, text, (size_t)got) == -1)
		_exit(1);
}

static void be_root(void *arg)
{
	const uint64_t *keeps = arg;

	if (sandbox_root(keeps[0]) == -1 || sandbox_root(keeps[1]) == -1)
		die_errno(255, "sandbox_root");
	say_status();
}

static void exec_as_root(void *arg)
{
	char *const argv[] = { (char[]){ "sh" }, (char[]){ "-c" },
			       (char[]){ "cat /proc/self/status >&2" }, NULL };

	(void)arg;
	if (sandbox_root(0) == -1)
		die_errno(255, "sandbox_root");
	execv("/bin/sh", argv);
	die_errno(255, "execv");
}

static void test_root_that_starts_others_keeps_little(void **state)
{
	uint64_t keeps[] = { 1 << CAP_KILL | 1 << CAP_SETUID, 1 << CAP_KILL };
	struct str said = { 0 };

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(in_child(be_root, keeps, &said), 0);
	assert_int_equal(set_of(&said, "CapPrm:\t"), 1 << CAP_KILL);
	assert_int_equal(set_of(&said, "CapEff:\t"), 1 << CAP_KILL);
	assert_users(set_of(&said, "CapBnd:\t"));
	str_free(&said);
}

static void test_root_below_it_gets_no_more_than_users_need(void **state)
{
	struct str said = { 0 };

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(in_child(exec_as_root, NULL, &said), 0);
	assert_users(set_of(&said, "CapPrm:\t"));
	assert_users(set_of(&said, "CapEff:\t"));
	str_free(&said);
}

static void be_modest(void *arg)
{
	if (sandbox_modest(arg) == -1)
		die_errno(255, "sandbox_modest");
	call_execve();
	die_errno(255, "execve");
}

static void test_a_modest_program_may_still_run_others(void **state)
{
	struct sandbox sandbox = { .name = "test", .calls = SANDBOX_IO };
	struct str said = { 0 };

	(void)state;
	assert_int_equal(in_child(be_modest, &sandbox, &said), 0);
	assert_str(&said, "");
	str_free(&said);
}

static long count_descriptors(void)
{
	int count = 0;

	while (fcntl(0, F_DUPFD, 0) != -1)
		count++;
	return count < 16 ? 0 : -1;
}

static void test_descriptors_are_limited(void **state)
{
	struct sandbox sandbox = {
		.name = "test",
		.calls = SANDBOX_IO,
		.max_fds = 16,
	};

	(void)state;
	assert_int_equal(in_sandbox(&sandbox, count_descriptors), DONE);
}

/* As kernels do that know neither. */
static void be_an_old_kernel(void *arg)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 444, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_seccomp, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = COUNT_OF(code), .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == -1)
		die_errno(255, "prctl");
	enter(arg);
}

static void test_what_a_kernel_lacks_is_said_once(void **state)
{
	struct sandbox sandbox = { .name = "test", .calls = SANDBOX_IO };
	struct str said = { 0 };

	(void)state;
	if (!CONFINED)
		skip();
	assert_int_equal(in_child(be_an_old_kernel, &sandbox, &said), 0);
	assert_non_null(strstr(str_c(&said), "no Landlock"));
	assert_non_null(strstr(str_c(&said), "no seccomp filters"));
	sandbox.quiet = true;
	assert_int_equal(in_child(be_an_old_kernel, &sandbox, &said), 0);
	assert_str(&said, "");
	str_free(&said);
}

static long enter_again(void)
{
	struct sandbox less = { .name = "less", .calls = SANDBOX_IO };

	enter(&less);
	return call_unix();
}

static void test_one_can_enter_again_for_less(void **state)
{
	(void)state;
	if (!CONFINED)
		skip();
	assert_int_equal(with_calls(SANDBOX_IO | SANDBOX_FILES_READ |
					    SANDBOX_UNIX_CLIENT |
					    SANDBOX_TIGHTEN,
				    enter_again),
			 KILLED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_each_call_is_allowed_for_its_groups_and_no_other),
		cmocka_unit_test(test_memory_time_and_descriptors_go_on),
		cmocka_unit_test(test_only_listed_files_can_be_opened),
		cmocka_unit_test(test_a_single_file_can_be_listed),
		cmocka_unit_test(test_reading_programs_cannot_open_to_write),
		cmocka_unit_test(test_privileges_are_gone),
		cmocka_unit_test(test_root_keeps_what_is_listed),
		cmocka_unit_test(test_root_that_starts_others_keeps_little),
		cmocka_unit_test(
			test_root_below_it_gets_no_more_than_users_need),
		cmocka_unit_test(test_a_modest_program_may_still_run_others),
		cmocka_unit_test(test_descriptors_are_limited),
		cmocka_unit_test(test_what_a_kernel_lacks_is_said_once),
		cmocka_unit_test(test_one_can_enter_again_for_less),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
