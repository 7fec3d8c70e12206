/*
 * Functions that no file here may call: they write without knowing the room,
 * or turn text into numbers without saying when it was none. Every source
 * gets this through lib/str.h.
 */
#ifndef LIB_BANNED_H
#define LIB_BANNED_H

/* Their headers come first: poison stops even a declaration. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC poison strcpy strcat sprintf vsprintf strtok atoi atol atoll gets
#pragma GCC poison strncpy strncat mktemp tmpnam

#endif
