/*
 * Names of mailboxes, domains and messages: what is let through can be a
 * path component, and comes out unchanged a second time.
 */
#include <assert.h>

#include "lib/maildirsize.h"
#include "lib/vname.h"
#include "tests/fuzz/fuzz.h"

static void check_component(struct view name)
{
	assert(name.len && name.p[0] != '.' && name.p[0] != '-');
	assert(!view_has(name, '/') && !view_has(name, '\0') &&
	       !view_has(name, '\n') && !view_has(name, ':'));
	assert(!memmem(name.p, name.len, "..", 2));
}

static void check_again(enum vname_result (*parse)(struct view, struct str *),
			struct view name, size_t most)
{
	struct str once = { 0 };
	struct str twice = { 0 };

	if (parse(name, &once) == VNAME_OK) {
		check_component(str_view(&once));
		assert(once.len <= most);
		assert(parse(str_view(&once), &twice) == VNAME_OK);
		assert(view_eq(str_view(&once), str_view(&twice)));
	}
	str_free(&once);
	str_free(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view text = view_make(data, size);
	struct view user;
	struct view domain;
	uint64_t bytes;
	bool trashed;

	check_again(vname_user, text, VNAME_USER_MAX);
	check_again(vname_domain, text, VNAME_DOMAIN_MAX);
	vname_split(text, &user, &domain);
	assert(user.len + domain.len + (domain.p ? 1 : 0) == size);
	check_again(vname_user, user, VNAME_USER_MAX);
	check_again(vname_domain, domain, VNAME_DOMAIN_MAX);
	if (maildirsize_of_name(text, &bytes, &trashed))
		assert(memmem(text.p, text.len, ",S=", 3));
	return 0;
}
