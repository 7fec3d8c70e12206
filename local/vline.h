#ifndef LOCAL_VLINE_H
#define LOCAL_VLINE_H

/*
 * The line of a virtual domain,
 *
 *	| /home/vpopmail/bin/vdelivermail '' bounce-no-mailbox
 *
 * carried out without starting anything. Most mail of a machine goes through
 * such a line, and shell and program cost more than the delivery.
 *
 * That is right only where nobody can tell the difference: the program must
 * be the very vdelivermail that was installed beside us, and its arguments
 * plain words that no shell changes. Everything else is run.
 */

#include "lib/filemark.h"
#include "lib/vpasswd.h"
#include "local/program.h"

struct vline {
	struct str path;      /* of the vdelivermail beside us */
	struct filemark mark; /* of the file that was found to be that one */
	bool is_root;
};

void vline_init(struct vline *vline);
void vline_free(struct vline *vline);

/* Is it such a line? *instruction is then its last word. */
bool vline_match(struct vline *vline, struct view command,
		 struct view *instruction);

/* The words alone, for the test: absolute path, '' and one plain word. */
bool vline_parse(struct view command, struct view *path,
		 struct view *instruction);

/* What a program of its own would have kept to itself. */
struct vline_after {
	bool ran_program; /* for the account */
	bool moved;       /* the working directory is another one */
};

/*
 * As program_run(), of the line with this number, in a message that was found
 * not to loop. EXT and the other variables are read from the environment, as
 * vdelivermail does.
 */
enum program_result vline_run(struct verdict *v, struct view instruction,
			      const struct job *job, size_t number, int signals,
			      struct vpasswd_table *accounts,
			      struct vline_after *after) MUST_USE;

#endif
