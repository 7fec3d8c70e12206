#ifndef DAEMONTOOLS_SCRIPT_H
#define DAEMONTOOLS_SCRIPT_H

/*
 * multilog's script: what to do with each line.
 *
 *	t            first only: put a TAI64N label before each line
 *	+PATTERN     select lines that match
 *	-PATTERN     deselect lines that match
 *	e            selected lines go to descriptor 2
 *	=FILE        selected lines replace the content of FILE
 *	sSIZE        size of a log file, for the directories that follow
 *	nNUM         number of log files, likewise
 *	!PROCESSOR   a command for full log files, likewise; ! alone: none
 *	./DIR /DIR   selected lines go to this log
 *
 * Texts are borrowed from the arguments. Numbers outside their limits become
 * the nearest limit, as ever.
 */

#include "lib/str.h"

#define SCRIPT_LINE_BYTES 1000 /* patterns look at no more of a line */

enum script_kind {
	SCRIPT_SELECT,   /* text: the pattern */
	SCRIPT_DESELECT, /* text: the pattern */
	SCRIPT_ALERT,
	SCRIPT_STATUS, /* text: the file */
	SCRIPT_LOG,    /* text: the directory */
};

struct script_action {
	enum script_kind kind;
	const char *text;
	uint32_t max_bytes;    /* LOG: of one file */
	uint32_t max_files;    /* LOG: current and old ones */
	const char *processor; /* LOG: NULL without one */
};

struct script {
	bool timestamp;
	size_t count;
	struct script_action *actions;
	const char
		*unknown; /* the first argument that means nothing, or NULL */
};

/* args ends in NULL. Dies when memory is out. */
void script_parse(struct script *script, char *const *args);
void script_free(struct script *script);

/*
 * Does the whole line match? A star matches any string without the byte that
 * follows the star in the pattern; at the end, any string.
 */
bool script_match(struct view pattern, struct view line);

#endif
