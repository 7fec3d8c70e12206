#include "lib/rewrite.h"
#include "tests/fuzz/fuzz.h"

/* The first line is the address, the others are the control files. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view text = view_make(data, size);
	struct view address = view_cut(&text, '\n');
	struct control_list list = { 0 };
	struct rewrite rewrite = { 0 };
	struct str plain = { 0 };
	struct str target = { 0 };
	enum rewrite_kind kind;

	str_set_c(&rewrite.envnoathost, "here");
	control_list_parse(&list, text);
	namemap_build(&rewrite.virtualdomains, &list, true);
	control_list_parse(&list, text);
	namemap_build(&rewrite.percenthack, &list, false);
	kind = rewrite_address(&rewrite, address, &plain, &target);
	if (!view_has(str_view(&plain), '@') ||
	    !view_ends(str_view(&target), str_view(&plain)) ||
	    (kind == REWRITE_REMOTE && target.len != plain.len))
		__builtin_trap();
	str_free(&plain);
	str_free(&target);
	rewrite_free(&rewrite);
	return 0;
}
