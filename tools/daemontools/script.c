#include "tools/daemontools/script.h"

#include <stdlib.h>

#include "lib/die.h"

#define MIN_BYTES 4096
#define MAX_BYTES 16777215
#define DEFAULT_BYTES 99999
#define MIN_FILES 2
#define DEFAULT_FILES 10

/* The digits at the start of text, within limits; no digits are 0. */
static uint32_t number(const char *text, uint32_t min, uint32_t max)
{
	size_t digits = strspn(text, "0123456789");
	uint64_t value;

	if (digits == 0)
		return min;
	if (!view_u64(view_make(text, digits), &value) || value > max)
		return max;
	return value < min ? min : (uint32_t)value;
}

static void add(struct script *script, enum script_kind kind, const char *text,
		const struct script_action *settings)
{
	struct script_action *action = &script->actions[script->count++];

	*action = *settings;
	action->kind = kind;
	action->text = text;
}

static void parse_one(struct script *script, struct script_action *settings,
		      const char *arg)
{
	switch (arg[0]) {
	case '+':
		add(script, SCRIPT_SELECT, arg + 1, settings);
		break;
	case '-':
		add(script, SCRIPT_DESELECT, arg + 1, settings);
		break;
	case 'e':
		add(script, SCRIPT_ALERT, arg + 1, settings);
		break;
	case '=':
		add(script, SCRIPT_STATUS, arg + 1, settings);
		break;
	case '.':
	case '/':
		add(script, SCRIPT_LOG, arg, settings);
		break;
	case 's':
		settings->max_bytes = number(arg + 1, MIN_BYTES, MAX_BYTES);
		break;
	case 'n':
		settings->max_files = number(arg + 1, MIN_FILES, UINT32_MAX);
		break;
	case '!':
		settings->processor = arg[1] ? arg + 1 : NULL;
		break;
	default:
		if (!script->unknown)
			script->unknown = arg;
		break;
	}
}

void script_parse(struct script *script, char *const *args)
{
	struct script_action settings = {
		.max_bytes = DEFAULT_BYTES,
		.max_files = DEFAULT_FILES,
	};
	size_t count = 0;

	*script = (struct script){ 0 };
	while (args[count])
		count++;
	script->actions = calloc(count + 1, sizeof(*script->actions));
	if (!script->actions)
		die(EXIT_RETRY, "fatal: out of memory");
	if (args[0] && args[0][0] == 't') {
		script->timestamp = true;
		args++;
	}
	for (; *args; args++)
		parse_one(script, &settings, *args);
}

void script_free(struct script *script)
{
	free(script->actions);
	*script = (struct script){ 0 };
}

bool script_match(struct view pattern, struct view line)
{
	size_t at = 0;

	for (size_t i = 0; i < pattern.len; i++) {
		if (pattern.p[i] != '*') {
			if (at == line.len || line.p[at] != pattern.p[i])
				return false;
			at++;
			continue;
		}
		if (i + 1 == pattern.len)
			return true;
		/* The next byte of the pattern ends the star, even a star. */
		at += view_find(view_from(line, at), pattern.p[i + 1]);
		if (at == line.len)
			return false;
	}
	return at == line.len;
}
