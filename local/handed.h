#ifndef LOCAL_HANDED_H
#define LOCAL_HANDED_H

/*
 * What qmail-local has handed to the program of a `|` line: the message on
 * descriptor 0, and variables (qmail-command(8)).
 */

#include <stdint.h>

/* $name; without it, a complaint and EXIT_REJECT. */
const char *handed_variable(const char *name);

/*
 * The message from its beginning, in memory of our own, so that others may
 * read it meanwhile. A descriptor, or a complaint and EXIT_RETRY.
 */
int handed_message(uint64_t *size);

#endif
