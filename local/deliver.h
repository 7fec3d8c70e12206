#ifndef LOCAL_DELIVER_H
#define LOCAL_DELIVER_H

/*
 * One local delivery: check the home, find the .qmail file, obey its lines
 * in order, and say how it ended. The process is the user already.
 */

#include "lib/filemark.h"
#include "lib/vpasswd.h"
#include "local/envelope.h"
#include "local/verdict.h"
#include "local/vline.h"

/*
 * What has been read from files, and is true as long as they are the same.
 * All zero is nothing; free it in the end.
 */
struct seen {
	struct str name; /* of a .qmail file that lay in some home */
	struct filemark mark;
	struct str commands;
	struct vpasswd_table accounts;
};

void seen_free(struct seen *seen);

struct deliver {
	const struct job *job; /* with user, home, local, dash, ext ... */
	bool dry_run;          /* -n: say what would be done, do nothing */
	int signals;           /* as for program_run() */
	struct vline *vline;   /* NULL: vdelivermail is a program, too */
	struct seen *seen;     /* what stays for later deliveries, or NULL */

	struct verdict verdict;
	bool ran_program; /* one of somebody else's: it may have left traces */
	/* The rest is its own. */
	struct envelope envelope;
	struct str file_name; /* the .qmail file, or the last one tried */
	struct str commands;
	bool found;
	bool forward_only;
	struct str new_sender;
	struct str addresses; /* of forwards, each ends in a NUL */
	size_t files;
	size_t forwards;
	size_t programs;
	uint64_t qp;
};

/* The outcome and its text are then in deliver->verdict. */
void deliver_run(struct deliver *d);
void deliver_free(struct deliver *d);

#endif
