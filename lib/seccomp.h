#ifndef LIB_SECCOMP_H
#define LIB_SECCOMP_H

/*
 * A filter for system calls, as lib/sandbox.h describes it. Needs no new
 * privileges set first. The architecture is checked; x32's calls, which
 * share x86-64's, kill.
 */

#include "lib/str.h"

/*
 * What a program may call, by purpose. Memory, time, signals, its own ids
 * and its end are always allowed; memory that can be executed is not.
 */
enum sandbox_calls {
	/* Descriptors it has: read, write, poll, sync, lock, copy, close. */
	SANDBOX_IO = 1 << 0,
	/* Open for reading, look at files, list directories. */
	SANDBOX_FILES_READ = 1 << 1,
	/* Open in any way, create, rename, link, unlink, set modes. */
	SANDBOX_FILES_WRITE = 1 << 2,
	/* Unix sockets: make and connect. */
	SANDBOX_UNIX_CLIENT = 1 << 3,
	/* Unix sockets: make, bind, listen, accept. */
	SANDBOX_UNIX_SERVER = 1 << 4,
	/* TCP and UDP sockets: make, bind, connect. */
	SANDBOX_INET_CLIENT = 1 << 5,
	/* Make processes (no namespaces, no threads) and wait for them. */
	SANDBOX_FORK = 1 << 6,
	/* Socket pairs, descriptors in packets, memfds. */
	SANDBOX_PACKET = 1 << 7,
	/* Make limits, filters and Landlock tighter: sandbox_enter() again. */
	SANDBOX_TIGHTEN = 1 << 8,
};

enum seccomp_result {
	SECCOMP_OK,
	SECCOMP_MISSING, /* this kernel or this processor has none */
	SECCOMP_ERROR,   /* errno */
};

/* groups: enum sandbox_calls, or-ed. */
enum seccomp_result seccomp_apply(unsigned groups) MUST_USE;

#endif
