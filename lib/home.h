#ifndef LIB_HOME_H
#define LIB_HOME_H

/*
 * Where a program's house stands.
 *
 * It is the directory above the bin/ that the executable lies in; an
 * executable that lies elsewhere belongs to conf-qmail. QMAILHOME overrides
 * both, but only when the effective uid is not 0. So one build serves
 * /var/qmail, a demo instance and every test.
 */

#include "lib/str.h"

/* The home as a path without a trailing slash. */
void home_path(struct str *path);

/*
 * An O_PATH descriptor (close-on-exec) of the home, for the *at() calls of
 * lib/control.h and others. -1 with errno.
 */
int home_open(void) MUST_USE;

/*
 * The path of the program `name` that belongs to us: beside our executable
 * when that lies in a bin/, else in the home's bin/.
 */
void home_program(struct str *path, const char *name);

/* vpopmail's home: control/vpopmailhome of homefd, else conf-vpopmail. */
int home_vpopmail(int homefd, struct str *path) MUST_USE;

#endif
