#include "lib/seccomp.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#define X32_BIT 0x40000000U
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

#ifdef ARCH

#define RULES_MAX 160
#define CODE_MAX 1024
#define LEAF_RULES 4
#define VALUES_MAX 16

/* The group of the calls that every program may make. */
#define ALWAYS (~0U)

#define IO SANDBOX_IO
#define READ SANDBOX_FILES_READ
#define WRITE SANDBOX_FILES_WRITE
#define FILES (SANDBOX_FILES_READ | SANDBOX_FILES_WRITE)
#define CLIENT (SANDBOX_UNIX_CLIENT | SANDBOX_INET_CLIENT)
#define SERVER SANDBOX_UNIX_SERVER
#define SOCKETS (CLIENT | SERVER | SANDBOX_PACKET | SANDBOX_IO)

struct call {
	unsigned groups; /* allowed for each of these */
	int nr;
};

/*
 * Calls that are allowed whatever their arguments. A newer architecture has
 * only the newer one of two that do the same. Which of them a program needs
 * was seen by tracing the tests; doc/sandbox.md says how to repeat that.
 */
static const struct call calls[] = {
	/* Memory; mmap and mprotect are below. */
	{ ALWAYS, __NR_brk },
	{ ALWAYS, __NR_munmap },
	{ ALWAYS, __NR_mremap },
	{ ALWAYS, __NR_madvise },
	/* Time: where the vDSO cannot tell it. */
	{ ALWAYS, __NR_clock_gettime },
	{ ALWAYS, __NR_clock_getres },
	{ ALWAYS, __NR_clock_nanosleep },
	{ ALWAYS, __NR_nanosleep },
	{ ALWAYS, __NR_gettimeofday },
#ifdef __NR_time
	{ ALWAYS, __NR_time },
#endif
	{ ALWAYS, __NR_setitimer },
#ifdef __NR_alarm
	{ ALWAYS, __NR_alarm },
#endif
	/* Signals, to itself. */
	{ ALWAYS, __NR_rt_sigaction },
	{ ALWAYS, __NR_rt_sigprocmask },
	{ ALWAYS, __NR_rt_sigreturn },
	{ ALWAYS, __NR_sigaltstack },
	{ ALWAYS, __NR_restart_syscall },
	/* The process itself. */
	{ ALWAYS, __NR_futex },
	{ ALWAYS, __NR_getrandom },
	{ ALWAYS, __NR_sched_yield },
	{ ALWAYS, __NR_sysinfo },
	{ ALWAYS, __NR_uname },
	{ ALWAYS, __NR_getpid },
	{ ALWAYS, __NR_gettid },
	{ ALWAYS, __NR_getppid },
	{ ALWAYS, __NR_getuid },
	{ ALWAYS, __NR_geteuid },
	{ ALWAYS, __NR_getgid },
	{ ALWAYS, __NR_getegid },
#ifdef __NR_getrlimit
	{ ALWAYS, __NR_getrlimit },
#endif
	{ ALWAYS, __NR_umask },
	{ ALWAYS, __NR_exit },
	{ ALWAYS, __NR_exit_group },

	/* Descriptors. */
	{ ALWAYS, __NR_close },
	{ ALWAYS, __NR_fstat },
	{ IO, __NR_read },
	{ IO, __NR_readv },
	{ IO, __NR_pread64 },
	{ IO, __NR_write },
	{ IO, __NR_writev },
	{ IO, __NR_pwrite64 },
	{ IO, __NR_pwritev },
	{ IO, __NR_sendfile },
	{ IO, __NR_lseek },
	{ IO, __NR_fcntl },
	{ IO, __NR_flock },
	{ IO, __NR_fsync },
	{ IO, __NR_fdatasync },
	{ IO, __NR_ftruncate },
	{ IO, __NR_dup },
#ifdef __NR_dup2
	{ IO, __NR_dup2 },
#endif
	{ IO, __NR_dup3 },
#ifdef __NR_pipe
	{ IO, __NR_pipe },
#endif
	{ IO, __NR_pipe2 },
#ifdef __NR_poll
	{ IO, __NR_poll },
#endif
	{ IO, __NR_ppoll },
#ifdef __NR_close_range
	{ IO, __NR_close_range },
#endif
	{ IO, __NR_signalfd4 },
	/* fstatat of a descriptor; of a path it tells no content. */
	{ IO | FILES, __NR_newfstatat },

	/* Sockets that are open already: the client, or a socket pair. */
	{ SOCKETS, __NR_sendto },
	{ SOCKETS, __NR_recvfrom },
	{ SOCKETS, __NR_sendmsg },
	{ SOCKETS, __NR_recvmsg },
	{ SOCKETS, __NR_shutdown },
	{ SOCKETS, __NR_getsockopt },
	{ SOCKETS, __NR_setsockopt },
	/* Others. */
	{ CLIENT, __NR_connect },
	{ SANDBOX_INET_CLIENT | SERVER, __NR_bind },
	{ SANDBOX_INET_CLIENT, __NR_getsockname },
	{ SANDBOX_INET_CLIENT, __NR_getpeername },
	{ SERVER, __NR_listen },
	{ SERVER, __NR_accept4 },
	{ SANDBOX_PACKET, __NR_memfd_create },

/* Files; open and openat are below. */
#ifdef __NR_stat
	{ FILES, __NR_stat },
	{ FILES, __NR_lstat },
	{ FILES, __NR_access },
	{ FILES, __NR_readlink },
#endif
	{ FILES, __NR_statx },
	{ FILES, __NR_faccessat },
	{ FILES, __NR_readlinkat },
	{ FILES, __NR_getdents64 },
	{ FILES, __NR_statfs },
	{ FILES, __NR_fstatfs },
#ifdef __NR_unlink
	{ WRITE, __NR_unlink },
	{ WRITE, __NR_rename },
	{ WRITE, __NR_link },
#endif
	{ WRITE, __NR_unlinkat },
#ifdef __NR_renameat
	{ WRITE, __NR_renameat },
#endif
	{ WRITE, __NR_renameat2 },
	{ WRITE, __NR_linkat },
	{ WRITE, __NR_fchmod },

/* Processes; clone and prctl are below. */
#ifdef __NR_fork
	{ SANDBOX_FORK, __NR_fork },
#endif
	{ SANDBOX_FORK, __NR_wait4 },
	{ SANDBOX_FORK, __NR_set_robust_list },
#ifdef __NR_rseq
	{ SANDBOX_FORK, __NR_rseq },
#endif

	/* Less and less. */
	{ SANDBOX_TIGHTEN, __NR_capget },
	{ SANDBOX_TIGHTEN, __NR_capset },
	{ SANDBOX_TIGHTEN, __NR_prlimit64 },
	{ SANDBOX_TIGHTEN, __NR_seccomp },
	{ SANDBOX_TIGHTEN, 444 }, /* landlock_create_ruleset */
	{ SANDBOX_TIGHTEN, 445 }, /* landlock_add_rule */
	{ SANDBOX_TIGHTEN, 446 }, /* landlock_restrict_self */
};

/* Whoever calls these has been taken over. */
static const int deadly[] = {
	__NR_execve,           __NR_execveat,          __NR_ptrace,
	__NR_process_vm_readv, __NR_process_vm_writev,
};

/* What becomes of one call. */
struct rule {
	int nr;
	uint32_t action; /* of all, or where the argument is another one */
	/* Allowed if argument `arg` & mask is one of the values. */
	bool has_choice;
	unsigned arg;
	uint32_t mask;
	size_t count;
	uint32_t values[VALUES_MAX];
};

struct program {
	size_t rule_count;
	struct rule rules[RULES_MAX];
	size_t count;
	struct sock_filter code[CODE_MAX];
};

/* ---- rules ---- */

static void add_rule(struct program *p, const struct rule *rule)
{
	assert(p->rule_count < RULES_MAX);
	p->rules[p->rule_count++] = *rule;
}

/* The call with this number, whatever its arguments. */
static void decide(struct program *p, int nr, uint32_t action)
{
	add_rule(p, &(struct rule){ .nr = nr, .action = action });
}

static void add_value(struct rule *c, uint32_t value)
{
	assert(c->count < VALUES_MAX);
	c->values[c->count++] = value;
}

/* Only for calls that no bit of mask is set in. */
static void choose_without(struct program *p, int nr, unsigned arg,
			   uint32_t mask, int error)
{
	add_rule(p, &(struct rule){
			    .nr = nr,
			    .action = SECCOMP_RET_ERRNO | (uint32_t)error,
			    .has_choice = true,
			    .arg = arg,
			    .mask = mask,
			    .count = 1,
		    });
}

/* Memory that can be executed is what an attack would fill. */
static void choose_memory(struct program *p)
{
	choose_without(p, __NR_mmap, 2, PROT_EXEC, ENOSYS);
	choose_without(p, __NR_mprotect, 2, PROT_EXEC, ENOSYS);
}

static void choose_open(struct program *p, unsigned groups)
{
	const uint32_t writing = O_ACCMODE | O_CREAT | O_TRUNC;

	if (groups & WRITE) {
		decide(p, __NR_openat, SECCOMP_RET_ALLOW);
#ifdef __NR_open
		decide(p, __NR_open, SECCOMP_RET_ALLOW);
#endif
	} else if (groups & READ) {
		choose_without(p, __NR_openat, 2, writing, EACCES);
#ifdef __NR_open
		choose_without(p, __NR_open, 1, writing, EACCES);
#endif
	}
}

static void choose_sockets(struct program *p, unsigned groups)
{
	struct rule c = {
		.nr = __NR_socket,
		.has_choice = true,
		.mask = ~0U,
		.action = SECCOMP_RET_KILL_PROCESS,
	};

	if (groups & (SANDBOX_UNIX_CLIENT | SANDBOX_UNIX_SERVER))
		add_value(&c, AF_UNIX);
	if (groups & SANDBOX_INET_CLIENT) {
		add_value(&c, AF_INET);
		add_value(&c, AF_INET6);
	}
	add_rule(p, &c);
	c.nr = __NR_socketpair;
	c.count = 0;
	if (groups & SANDBOX_PACKET)
		add_value(&c, AF_UNIX);
	add_rule(p, &c);
}

/* fork() as the C library does it: no thread, no namespace. */
static void choose_clone(struct program *p, unsigned groups)
{
	const uint32_t usual =
		CSIGNAL | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;

	if (groups & SANDBOX_FORK)
		choose_without(p, __NR_clone, 0, ~usual, ENOSYS);
}

static void choose_prctl(struct program *p, unsigned groups)
{
	struct rule c = {
		.nr = __NR_prctl,
		.has_choice = true,
		.mask = ~0U,
		.action = SECCOMP_RET_ERRNO | ENOSYS,
	};

	if (groups & SANDBOX_FORK)
		add_value(&c, PR_SET_PDEATHSIG);
	if (groups & SANDBOX_TIGHTEN) {
		add_value(&c, PR_SET_NO_NEW_PRIVS);
		add_value(&c, PR_GET_DUMPABLE);
		add_value(&c, PR_CAP_AMBIENT);
		add_value(&c, PR_CAPBSET_DROP);
	}
	add_rule(p, &c);
}

/* ---- code ---- */

static void emit(struct program *p, struct sock_filter instruction)
{
	assert(p->count < CODE_MAX);
	p->code[p->count++] = instruction;
}

static void load(struct program *p, size_t offset)
{
	emit(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					     (uint32_t)offset));
}

static void answer(struct program *p, uint32_t action)
{
	emit(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

static void answer_errno(struct program *p, int error)
{
	answer(p, SECCOMP_RET_ERRNO | (uint32_t)error);
}

/* If what is loaded equals value: skip `same` instructions, else `other`. */
static void compare(struct program *p, uint32_t value, size_t same,
		    size_t other)
{
	assert(same < 256 && other < 256);
	emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value,
					     (uint8_t)same, (uint8_t)other));
}

/* Where the lower half of an argument lies. */
static size_t argument(unsigned arg)
{
	size_t at = offsetof(struct seccomp_data, args) + 8 * (size_t)arg;

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	at += 4;
#endif
	return at;
}

static void emit_choice(struct program *p, const struct rule *rule)
{
	load(p, argument(rule->arg));
	emit(p, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K,
					     rule->mask));
	for (size_t i = 0; i < rule->count; i++) {
		compare(p, rule->values[i], 0, 1);
		answer(p, SECCOMP_RET_ALLOW);
	}
}

/* The number is loaded. Falls through for other calls only. */
static void emit_rule(struct program *p, const struct rule *rule)
{
	size_t before = p->count;

	compare(p, (uint32_t)rule->nr, 0, 0);
	if (rule->has_choice)
		emit_choice(p, rule);
	answer(p, rule->action);
	assert(p->count - before - 1 < 256);
	p->code[before].jf = (uint8_t)(p->count - before - 1);
}

/*
 * The rules from `first` on, sorted by number, as a tree: the kernel tries
 * each number there is when the filter is set, and long lists cost time.
 * As deep as the logarithm of RULES_MAX.
 */
static void emit_tree(struct program *p, const struct rule *first, size_t count)
{
	size_t half = count / 2;
	size_t jump;

	if (count <= LEAF_RULES) {
		for (size_t i = 0; i < count; i++)
			emit_rule(p, &first[i]);
		answer_errno(p, ENOSYS);
		return;
	}
	emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K,
					     (uint32_t)first[half].nr, 0, 1));
	jump = p->count;
	emit(p, (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 0));
	emit_tree(p, first, half);
	p->code[jump].k = (uint32_t)(p->count - jump - 1);
	emit_tree(p, first + half, count - half);
}

static int by_number(const void *a, const void *b)
{
	const struct rule *x = a;
	const struct rule *y = b;

	return (x->nr > y->nr) - (x->nr < y->nr);
}

static void check_architecture(struct program *p)
{
	load(p, offsetof(struct seccomp_data, arch));
	compare(p, ARCH, 1, 0);
	answer(p, SECCOMP_RET_KILL_PROCESS);
	load(p, offsetof(struct seccomp_data, nr));
#ifdef X32_BIT
	/* -1 is a call that a tracer has cancelled. */
	compare(p, ~0U, 0, 1);
	answer_errno(p, ENOSYS);
	emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT,
					     0, 1));
	answer(p, SECCOMP_RET_KILL_PROCESS);
#endif
}

static void collect(struct program *p, unsigned groups)
{
	for (size_t i = 0; i < COUNT_OF(calls); i++)
		if (calls[i].groups & groups || calls[i].groups == ALWAYS)
			decide(p, calls[i].nr, SECCOMP_RET_ALLOW);
	for (size_t i = 0; i < COUNT_OF(deadly); i++)
		decide(p, deadly[i], SECCOMP_RET_KILL_PROCESS);
	choose_memory(p);
	choose_open(p, groups);
	choose_sockets(p, groups);
	choose_clone(p, groups);
	choose_prctl(p, groups);
}

static void build(struct program *p, unsigned groups)
{
	collect(p, groups);
	qsort(p->rules, p->rule_count, sizeof(p->rules[0]), by_number);
	check_architecture(p);
	emit_tree(p, p->rules, p->rule_count);
}

enum seccomp_result seccomp_apply(unsigned groups)
{
	struct program p = { 0 };
	struct sock_fprog code = { .filter = p.code };

	build(&p, groups);
	code.len = (unsigned short)p.count;
	if (syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, &code) == 0)
		return SECCOMP_OK;
	/* EINVAL: a kernel that was built without it. */
	return errno == ENOSYS || errno == EINVAL ? SECCOMP_MISSING
						  : SECCOMP_ERROR;
}

#else

enum seccomp_result seccomp_apply(unsigned groups)
{
	(void)groups;
	return SECCOMP_MISSING;
}

#endif
