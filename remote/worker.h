#ifndef REMOTE_WORKER_H
#define REMOTE_WORKER_H

/*
 * qmail-remote as qmail-rspawn has it: job after job from the socket on
 * descriptor 0, one at a time, each answered there (doc/delivery.md).
 *
 * All jobs of one worker go to the same next hop, so that the connection of
 * one is good for the next. A worker does not stay after its hundredth job,
 * when something is wrong with this machine, or when a descriptor is left
 * open.
 */

/* Ends when the socket does; returns the exit code. */
int worker_serve(int homefd);

#endif
