#ifndef TOOLS_VPOPMAIL_VPROMPT_H
#define TOOLS_VPOPMAIL_VPROMPT_H

/*
 * Asking for a new password, twice, until both are the same. On a terminal
 * the letters are not shown; otherwise lines are read from descriptor 0.
 */

#include "lib/str.h"

/* 0, or -1 when the input ended or is too long (said on stderr). */
int vprompt_password(const char *who, struct str *password) MUST_USE;

#endif
