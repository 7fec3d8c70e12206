#ifndef LOCAL_CONDITION_H
#define LOCAL_CONDITION_H

/*
 * For the programs of a `|` line that ask another one about the message:
 * condredirect, except, bouncesaying.
 */

#include <stdbool.h>

/*
 * Run argv, found through PATH, with the message as its descriptor 0, at its
 * beginning. Did it exit 0? When it exited 111, died of a signal or could not
 * be run, nobody knows: a complaint, and EXIT_RETRY.
 */
bool condition_holds(const char *const *argv, int message);

#endif
