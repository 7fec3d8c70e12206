#ifndef LIB_RANDOM_H
#define LIB_RANDOM_H

/* Bytes that nobody can foretell, from getrandom(2). */

#include <stddef.h>

#include "lib/str.h"

/* More may come in parts. */
#define RANDOM_MAX 256

/* At most RANDOM_MAX bytes. -1 with errno. */
int random_fill(void *to, size_t size) MUST_USE;

#endif
