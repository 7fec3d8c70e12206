#ifndef LOCAL_WORKER_H
#define LOCAL_WORKER_H

/*
 * qmail-local as qmail-lspawn has it: job after job from the socket on
 * descriptor 0, one at a time, each answered there (doc/delivery.md).
 *
 * After each job everything is as it was before the first: environment,
 * working directory, umask, descriptors, memory. A worker says in its result
 * whether it stays. It does not when the job was deferred, since something
 * is wrong then, when a program was run, which may have left processes in our
 * group, when something is left open, or after its thousandth job.
 */

/* Ends when the socket does; returns the exit code. */
int worker_serve(void);

#endif
