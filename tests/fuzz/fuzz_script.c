#include "lib/str.h"
#include "tests/fuzz/fuzz.h"
#include "tools/daemontools/script.h"

/* The manual's words as a recursion: slow, plain, and therefore the judge. */
static bool model(struct view pattern, struct view line)
{
	if (pattern.len == 0)
		return line.len == 0;
	if (pattern.p[0] != '*')
		return line.len && line.p[0] == pattern.p[0] &&
		       model(view_from(pattern, 1), view_from(line, 1));
	if (pattern.len == 1)
		return true;
	while (line.len && line.p[0] != pattern.p[1])
		line = view_from(line, 1);
	return line.len && model(view_from(pattern, 1), line);
}

/* NUL-separated: a pattern, a script argument, and the line. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view rest = view_first(view_make(data, size), 3000);
	struct view pattern = view_cut(&rest, '\0');
	struct view arg = view_cut(&rest, '\0');
	struct str text = { 0 };
	struct script script;

	if (script_match(pattern, rest) != model(pattern, rest))
		__builtin_trap();
	str_set(&text, arg);
	str_c(&text);
	script_parse(&script, (char *const[]){ text.p, NULL });
	for (size_t i = 0; i < script.count; i++)
		if (script.actions[i].max_bytes < 4096 ||
		    script.actions[i].max_files < 2)
			__builtin_trap();
	script_free(&script);
	str_free(&text);
	return 0;
}
