#ifndef LIB_ENVIRONMENT_H
#define LIB_ENVIRONMENT_H

/*
 * The variables of one delivery or connection, laid over the environment that
 * the process was started with, and taken away again.
 *
 *	struct environment env = { 0 };
 *
 *	environment_begin(&env);
 *	environment_set(&env, "SENDER", sender);    getenv() sees it
 *	environment_end(&env);                      all as before
 *
 * Only one may have begun at a time. setenv(3) would do once, but what it has
 * set is never given back.
 */

#include "lib/str.h"

struct environment {
	char **outer; /* NULL: not begun */
	char **list;
	size_t count;
	size_t room; /* entries of list, with the NULL */
	char **own;  /* texts that were allocated */
	size_t own_count;
	size_t own_room;
};

void environment_begin(struct environment *env);
void environment_end(struct environment *env);
void environment_set(struct environment *env, const char *name,
		     struct view value);
void environment_unset(struct environment *env, const char *name);

#endif
