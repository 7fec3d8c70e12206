/*
 * control/deliveryids: whatever its lines are, uid 0 and gid 0 never get
 * mail, and nobody's home has `..` in it.
 */
#include <assert.h>

#include "lib/allow.h"
#include "tests/fuzz/fuzz.h"

/* A line that begins with this number and is no range. */
static bool has_line_for(struct view rest, uid_t uid)
{
	while (rest.p) {
		struct view line = view_trim(view_cut(&rest, '\n'));
		size_t digits = 0;
		uint64_t number;

		while (digits < line.len && line.p[digits] >= '0' &&
		       line.p[digits] <= '9')
			digits++;
		if (view_u64(view_first(line, digits), &number) &&
		    number == uid && !view_has(line, '-'))
			return true;
	}
	return false;
}

/* The first line is a home, and its first bytes are ids. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view rest = view_make(data, size);
	struct view home = view_cut(&rest, '\n');
	struct control_list list = { 0 };
	uid_t uid = size > 1 ? data[0] * 256U + data[1] : 0;
	gid_t gid = size > 3 ? data[2] * 256U + data[3] : 0;

	control_list_parse(&list, rest);
	assert(!allow_ids(&list, 0, gid));
	assert(!allow_ids(&list, uid, 0));
	if (allow_ids(&list, uid, gid) && uid < 100)
		assert(has_line_for(rest, uid));
	if (allow_home(&list, home))
		assert(home.p[0] == '/' && view_has(rest, '/') &&
		       !memmem(home.p, home.len, "/../", 4) &&
		       !view_ends(home, VIEW("/..")));
	control_list_free(&list);
	return 0;
}
