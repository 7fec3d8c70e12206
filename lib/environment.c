#include "lib/environment.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/memory.h"

#define SPARE_ENTRIES 40

void environment_begin(struct environment *env)
{
	assert(!env->outer);
	env->outer = environ;
	env->count = 0;
	for (char **at = environ; at && *at; at++)
		env->count++;
	env->room = env->count + SPARE_ENTRIES;
	env->list = memory_zeroed(env->room, sizeof(char *));
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
		free(env->own[i]);
	free(env->own);
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

static void keep(struct environment *env, char *text)
{
	if (env->own_count == env->own_room) {
		env->own_room += SPARE_ENTRIES;
		env->own =
			memory_resize(env->own, env->own_room, sizeof(char *));
	}
	env->own[env->own_count++] = text;
}

/* Another entry, and the NULL behind it. */
static void lengthen(struct environment *env)
{
	if (env->count + 2 > env->room) {
		env->room += SPARE_ENTRIES;
		env->list = memory_resize(env->list, env->room, sizeof(char *));
		environ = env->list;
	}
	env->list[++env->count] = NULL;
}

void environment_set(struct environment *env, const char *name,
		     struct view value)
{
	size_t at = find(env, name);
	struct str text = { 0 };

	str_reserve(&text, strlen(name) + value.len + 2);
	str_append_c(&text, name);
	str_append_byte(&text, '=');
	str_append(&text, value);
	str_append_byte(&text, '\0');
	keep(env, text.p);
	if (at == env->count)
		lengthen(env);
	env->list[at] = text.p;
}

void environment_unset(struct environment *env, const char *name)
{
	size_t at;

	while ((at = find(env, name)) < env->count) {
		env->list[at] = env->list[--env->count];
		env->list[env->count] = NULL;
	}
}
