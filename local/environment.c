#include "local/environment.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/memory.h"

void environment_begin(struct environment *env)
{
	assert(!env->outer);
	env->outer = environ;
	env->count = 0;
	for (char **at = environ; at && *at; at++)
		env->count++;
	env->list =
		memory_zeroed(env->count + ENVIRONMENT_MAX + 1, sizeof(char *));
	for (size_t i = 0; i < env->count; i++)
		env->list[i] = env->outer[i];
	environ = env->list;
}

void environment_end(struct environment *env)
{
	if (!env->list)
		return;
	environ = env->outer;
	for (size_t i = 0; i < env->own_count; i++)
		str_free(&env->own[i]);
	free(env->list);
	*env = (struct environment){ 0 };
}

/* Where `name` stands, or count. */
static size_t find(const struct environment *env, const char *name)
{
	size_t len = strlen(name);
	size_t i = 0;

	while (i < env->count && (env->list[i][0] != name[0] ||
				  strncmp(env->list[i], name, len) != 0 ||
				  env->list[i][len] != '='))
		i++;
	return i;
}

void environment_set(struct environment *env, const char *name,
		     struct view value)
{
	size_t at = find(env, name);
	struct str *text;

	assert(env->own_count < ENVIRONMENT_MAX);
	text = &env->own[env->own_count++];
	str_reserve(text, strlen(name) + value.len + 2);
	str_append_c(text, name);
	str_append_byte(text, '=');
	str_append(text, value);
	str_append_byte(text, '\0');
	env->list[at] = text->p;
	if (at == env->count)
		env->count++;
}

void environment_unset(struct environment *env, const char *name)
{
	size_t at;

	while ((at = find(env, name)) < env->count) {
		env->list[at] = env->list[--env->count];
		env->list[env->count] = NULL;
	}
}
