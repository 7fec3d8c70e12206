#ifndef LOCAL_ENVIRONMENT_H
#define LOCAL_ENVIRONMENT_H

/*
 * The variables of one delivery, laid over the environment that the process
 * was started with, and taken away again.
 *
 *	struct environment env = { 0 };
 *
 *	environment_begin(&env);
 *	environment_set(&env, "SENDER", sender);    getenv() sees it
 *	environment_end(&env);                      all as before
 *
 * Only one may have begun at a time. setenv(3) would do for one delivery,
 * but what it has once set is never given back.
 */

#include "lib/str.h"

#define ENVIRONMENT_MAX 40 /* settings of one delivery */

struct environment {
	char **outer; /* NULL: not begun */
	char **list;
	size_t count;
	struct str own[ENVIRONMENT_MAX];
	size_t own_count;
};

void environment_begin(struct environment *env);
void environment_end(struct environment *env);
void environment_set(struct environment *env, const char *name,
		     struct view value);
void environment_unset(struct environment *env, const char *name);

#endif
