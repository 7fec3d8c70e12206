#ifndef LOCAL_PROGRAM_H
#define LOCAL_PROGRAM_H

/*
 * Running the command of a `|` line: /bin/sh -c, the message on descriptor 0
 * with an offset of its own, environment and directory ours.
 */

#include "local/verdict.h"

enum program_result {
	PROGRAM_DONE,
	PROGRAM_DONE_STOP, /* 99: done, and so is the rest of the file */
	PROGRAM_ENDED,     /* the verdict says how */
};

/* The most that is kept of what all programs of a delivery say. */
#define PROGRAM_TEXT_MAX 1700

/*
 * signals is a descriptor of lib/sig.h for SIGCHLD: then what the program
 * writes to 1 and 2 becomes part of the verdict's text, up to the limit, and
 * only until it exits, whatever it leaves behind. With -1 the program has our
 * 1 and 2.
 */
enum program_result program_run(struct verdict *v, struct view command,
				const struct job *job, int signals) MUST_USE;

/* Add what a program has said to the verdict's text, up to the limit. */
void program_say(struct verdict *v, struct view said);

/* What an exit code of a program means, as qmail-command(8) says. */
enum program_result program_code(struct verdict *v, int code);

#endif
